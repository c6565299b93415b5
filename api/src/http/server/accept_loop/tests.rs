//! The accept loop over real sockets: connection limits and drain.

use std::net::Ipv4Addr;

use poem::{Request, endpoint::make_sync};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinHandle,
};

use super::*;

struct RunningServer {
    addr: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

struct Client(TcpStream);

fn server<E: Endpoint>(endpoint: E, connection_limit: ConnectionLimit) -> Server<E> {
    let open_connections = Gauge::default();
    Server {
        endpoint: Arc::new(endpoint),
        connection_limit,
        tls: None,
        open_connections,
        drain: Duration::from_secs(75),
    }
}

/// Starts a server that responds with the scheme and the addresses of the connection.
async fn start(connection_limit: ConnectionLimit) -> RunningServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let endpoint = make_sync(|request: Request| {
        format!("{} {} {}.", request.scheme(), request.remote_addr(), request.local_addr())
    });
    let server = server(endpoint, connection_limit);
    let serving = tokio::spawn(run(listener, server, stop.clone()));
    RunningServer { addr, stop, serving }
}

impl RunningServer {
    async fn client(&self) -> Client {
        self.client_at(1).await
    }

    /// A client at 127.0.0.`last`.
    async fn client_at(&self, last: u8) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        Client(socket.connect(self.addr).await.unwrap())
    }
}

impl Client {
    async fn get(&mut self) -> String {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut response = vec![];
        while !response.ends_with(b".") {
            assert!(self.0.read_buf(&mut response).await.unwrap() > 0);
        }
        String::from_utf8(response).unwrap()
    }

    /// Whether the connection ends, by end of file or an error, without a response.
    async fn closed_without_response(mut self) -> bool {
        let _ = self.0.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        self.0.read(&mut [0]).await.map_or(true, |bytes| bytes == 0)
    }
}

#[tokio::test]
async fn endpoint_sees_scheme_and_both_addresses() {
    let server = start(ConnectionLimit::new(4, |_| true)).await;
    let mut client = server.client().await;
    let client_addr = client.0.local_addr().unwrap();
    let response = client.get().await;
    let expected = format!("http socket://{client_addr} socket://{}.", server.addr);
    assert!(response.ends_with(&expected), "{response}");
}

#[tokio::test]
async fn connection_beyond_the_limit_waits_for_a_permit() {
    let server = start(ConnectionLimit::new(1, |_| true)).await;
    let mut first = server.client().await;
    let mut second = server.client().await;
    first.get().await;
    second.0.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    for _ in 0..20 {
        first.get().await;
    }
    let early = second.0.try_read(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    drop(first);
    assert!(second.get().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn one_network_cannot_use_all_connections() {
    let server = start(ConnectionLimit::new(8, |_| true)).await;
    let mut first = server.client_at(1).await;
    let mut second = server.client_at(1).await;
    first.get().await;
    second.get().await;
    assert!(server.client_at(1).await.closed_without_response().await);
    server.client_at(2).await.get().await;
    drop(first);
    // Its permit is released as soon as the server has noticed the disconnect.
    while server.client_at(1).await.closed_without_response().await {}
}

#[tokio::test]
async fn drain_does_not_wait_for_idle_connections() {
    let server = start(ConnectionLimit::new(4, |_| false)).await;
    let mut idle = server.client().await;
    let mut half_head = server.client().await;
    let silent = server.client().await;
    let other_silent = server.client().await;
    idle.get().await;
    half_head.get().await;
    half_head.0.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let not_accepted = server.client().await;
    server.stop.cancel();
    server.serving.await.unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err(), "the listener is still open");
    for client in [idle, half_head, silent, other_silent, not_accepted] {
        assert!(client.closed_without_response().await);
    }
}

/// The kernel establishes these connections before the server accepts any.
#[tokio::test]
async fn accept_backlog_is_served_after_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut clients = vec![];
    for _ in 0..3 {
        clients.push(Client(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()));
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let server = server(make_sync(|_| "served."), ConnectionLimit::new(4, |_| false));
    let serving = tokio::spawn(run(listener, server, stop));
    for mut client in clients {
        let response = client.get().await;
        assert!(response.ends_with("served."), "{response}");
    }
    serving.await.unwrap();
}
