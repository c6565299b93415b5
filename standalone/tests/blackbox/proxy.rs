//! A TCP proxy that misbehaves on demand: how a server or the way to it fails, without taking it from
//! the other tests.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Connections stand, and nothing moves: a half-open network.
    Held,
    /// Connections break, and new ones end at once: a server that is down.
    Cut,
    /// Everything comes so much later.
    Delayed(Duration),
    /// Everything comes in pieces of one byte.
    Bytewise,
    /// A connection breaks when the server answers to words with this in them: what was said was heard,
    /// and nobody knows.
    DeafAfter(&'static str),
    /// The same, but the connection stands, and the answer does not come.
    MuteAfter(&'static str),
    /// Of words with this in them only what stands before it comes through, and nothing more.
    StuckBefore(&'static str),
}

pub(crate) struct Proxy {
    way: watch::Sender<Way>,
    heard: Arc<Notify>,
}

/// One direction of a connection.
struct Lane {
    way: watch::Receiver<Way>,
    /// Told when the words are said that the way speaks of.
    told: Arc<Notify>,
    /// The words were said on this connection.
    said: CancellationToken,
    to_server: bool,
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
        let heard = Arc::new(Notify::new());
        tokio::spawn(accept(listener, target, watching, Arc::clone(&heard)));
        (Self { way, heard }, url.replacen(&host, &addr.to_string(), 1))
    }

    /// Waits until words came by that the way speaks of.
    pub(crate) async fn heard(&self) {
        self.heard.notified().await;
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn accept(listener: TcpListener, target: String, way: watch::Receiver<Way>, told: Arc<Notify>) {
    while let Ok((near, _)) = listener.accept().await {
        let (target, way, told) = (target.clone(), way.clone(), Arc::clone(&told));
        tokio::spawn(async move {
            if *way.borrow() == Way::Cut {
                return;
            }
            // A server that is away is none of ours to mourn: the connection ends, as it would without us.
            let Ok(far) = TcpStream::connect(target).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            let said = CancellationToken::new();
            let there = Lane { way: way.clone(), told: Arc::clone(&told), said: said.clone(), to_server: true };
            let back = Lane { way, told, said, to_server: false };
            tokio::spawn(there.carry(near_read, far_write));
            tokio::spawn(back.carry(far_read, near_write));
        });
    }
}

impl Lane {
    async fn carry(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read.unwrap_or(0),
                _ = self.way.wait_for(|way| *way == Way::Cut) => 0,
            };
            // Held: what was read waits here, and with it everything behind it.
            let Ok(way) = self.way.wait_for(|way| *way != Way::Held).await.map(|way| *way) else { return };
            if read == 0 || way == Way::Cut {
                return;
            }
            let goes_on = self.hand_on(way, &mut to, &buffer[..read]).await;
            if !goes_on.unwrap_or(false) {
                return;
            }
        }
    }

    /// False when nothing may come after it.
    async fn hand_on(&mut self, way: Way, to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<bool> {
        match way {
            Way::Delayed(so_long) => sleep(so_long).await,
            Way::Bytewise => {
                for byte in bytes.chunks(1) {
                    to.write_all(byte).await?;
                    tokio::task::yield_now().await;
                }
                return Ok(true);
            }
            Way::StuckBefore(words) if self.to_server => {
                if let Some(at) = find(bytes, words) {
                    to.write_all(&bytes[..at]).await?;
                    self.told.notify_one();
                    return Ok(self.stand_still().await);
                }
            }
            Way::DeafAfter(words) | Way::MuteAfter(words) if self.to_server && find(bytes, words).is_some() => {
                self.said.cancel();
                self.told.notify_one();
            }
            Way::DeafAfter(_) if !self.to_server && self.said.is_cancelled() => return Ok(false),
            Way::MuteAfter(_) if !self.to_server && self.said.is_cancelled() => return Ok(self.stand_still().await),
            _ => {}
        }
        to.write_all(bytes).await.map(|()| true)
    }

    async fn stand_still(&mut self) -> bool {
        let _ = self.way.wait_for(|way| *way == Way::Cut).await;
        false
    }
}

fn find(bytes: &[u8], words: &str) -> Option<usize> {
    bytes.windows(words.len()).position(|window| window == words.as_bytes())
}
