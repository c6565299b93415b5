//! A TCP proxy that can let through, hold, or cut: how a server or the way to it fails, without
//! taking it from the other tests.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Connections stand, and nothing moves: a half-open network.
    Held,
    /// Connections break, and new ones end at once: a server that is down.
    Cut,
}

pub(crate) struct Proxy {
    way: watch::Sender<Way>,
}

impl Proxy {
    /// In front of the server of this URL, with its own URL.
    pub(crate) async fn before(url: &str) -> (Self, String) {
        let authority = url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap();
        let host = authority.rsplit('@').next().unwrap().to_owned();
        let default_port = if url.starts_with("amqp") { 5672 } else { 5432 };
        let target = if host.contains(':') { host.clone() } else { format!("{host}:{default_port}") };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (way, watching) = watch::channel(Way::Open);
        tokio::spawn(accept(listener, target, watching));
        (Self { way }, url.replacen(&host, &addr.to_string(), 1))
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn accept(listener: TcpListener, target: String, way: watch::Receiver<Way>) {
    while let Ok((near, _)) = listener.accept().await {
        let (target, way) = (target.clone(), way.clone());
        tokio::spawn(async move {
            if *way.borrow() == Way::Cut {
                return;
            }
            let far = TcpStream::connect(target).await.unwrap();
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_read, far_write, way.clone()));
            tokio::spawn(carry(far_read, near_write, way));
        });
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = way.wait_for(|way| *way == Way::Cut) => 0,
        };
        // Held: what was read waits here, and with it everything behind it.
        let open = way.wait_for(|way| *way != Way::Held).await.is_ok_and(|way| *way == Way::Open);
        if read == 0 || !open || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
