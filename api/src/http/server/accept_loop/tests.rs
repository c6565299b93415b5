//! Who gets a place, over real sockets.

use std::net::Ipv4Addr;

use poem::{Request, endpoint::make_sync};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinHandle,
};

use super::*;

/// The server is stopped when it is dropped.
struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

struct Client(TcpStream);

/// Answers with where the request comes from.
async fn start(places: ConnectionLimit) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let endpoint = make_sync(|request: Request| {
        format!("{} {} {}.", request.scheme(), request.remote_addr(), request.local_addr())
    });
    let house = Server { endpoint: Arc::new(endpoint), places, tls: None, open: Arc::default() };
    let serving = tokio::spawn(run(listener, house, stop.clone()));
    Running { addr, stop, serving }
}

impl Running {
    async fn client(&self) -> Client {
        self.client_at(1).await
    }

    /// One of the addresses that this machine has for itself.
    async fn client_at(&self, last: u8) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        Client(socket.connect(self.addr).await.unwrap())
    }
}

impl Client {
    async fn ask(&mut self) -> String {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut heard = vec![];
        while !heard.ends_with(b".") {
            assert!(self.0.read_buf(&mut heard).await.unwrap() > 0);
        }
        String::from_utf8(heard).unwrap()
    }

    /// Without an answer, whichever way.
    async fn gets_nothing(mut self) -> bool {
        let _ = self.0.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        self.0.read(&mut [0]).await.map_or(true, |bytes| bytes == 0)
    }
}

#[tokio::test]
async fn an_endpoint_knows_who_asks() {
    let running = start(ConnectionLimit::new(4, |_| true)).await;
    let mut client = running.client().await;
    let here = client.0.local_addr().unwrap();
    let heard = client.ask().await;
    let expected = format!("http socket://{here} socket://{}.", running.addr);
    assert!(heard.ends_with(&expected), "{heard}");
}

#[tokio::test]
async fn without_a_place_one_waits_for_it() {
    let running = start(ConnectionLimit::new(1, |_| true)).await;
    let (mut first, mut second) = (running.client().await, running.client().await);
    first.ask().await;
    second.0.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    for _ in 0..20 {
        first.ask().await;
    }
    let early = second.0.try_read(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    drop(first);
    assert!(second.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn one_network_cannot_take_all_places() {
    let running = start(ConnectionLimit::new(8, |_| true)).await;
    let (mut first, mut second) = (running.client_at(1).await, running.client_at(1).await);
    first.ask().await;
    second.ask().await;
    assert!(running.client_at(1).await.gets_nothing().await);
    running.client_at(2).await.ask().await;
    drop(first);
    // Its place is free as soon as the server has seen that.
    while running.client_at(1).await.gets_nothing().await {}
}

#[tokio::test]
async fn the_end_does_not_wait_for_those_who_want_nothing() {
    let running = start(ConnectionLimit::new(4, |_| false)).await;
    let (mut idle, mut half) = (running.client().await, running.client().await);
    let (silent, waiting) = (running.client().await, running.client().await);
    idle.ask().await;
    half.ask().await;
    half.0.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let unheard = running.client().await;
    running.stop.cancel();
    running.serving.await.unwrap();
    assert!(TcpStream::connect(running.addr).await.is_err(), "nobody listens any more");
    for client in [idle, half, silent, waiting, unheard] {
        assert!(client.gets_nothing().await);
    }
}

/// Their connections are made by the kernel, whether or not anybody is there to take them.
#[tokio::test]
async fn at_the_end_who_has_knocked_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut clients = vec![];
    for _ in 0..3 {
        clients.push(Client(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()));
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let house = Server {
        endpoint: Arc::new(make_sync(|_| "heard.")),
        places: ConnectionLimit::new(4, |_| false),
        tls: None,
        open: Arc::default(),
    };
    let serving = tokio::spawn(run(listener, house, stop));
    for mut client in clients {
        let heard = client.ask().await;
        assert!(heard.ends_with("heard."), "{heard}");
    }
    serving.await.unwrap();
}
