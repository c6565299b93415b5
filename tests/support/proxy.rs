//! A TCP proxy that misbehaves on demand: how a server or the way to it fails, without taking it from
//! the other tests.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
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

pub struct Proxy {
    way: watch::Sender<ProxyMode>,
    /// How often words came by that the way speaks of, since it was set.
    heard: Arc<watch::Sender<u32>>,
}

/// One direction of a connection.
#[derive(Clone)]
struct Lane {
    way: watch::Receiver<ProxyMode>,
    heard: Arc<watch::Sender<u32>>,
    /// What becomes of the answer on this connection, once the words were said, whatever the way is then.
    fate: Arc<OnceLock<Fate>>,
}

#[derive(Clone, Copy)]
enum Fate {
    Deaf,
    Mute,
}

/// How long a test waits for words that are said every second.
const PATIENCE: Duration = Duration::from_secs(60);

impl Proxy {
    /// In front of the server of this URL, with its own URL.
    pub async fn before(url: &str) -> (Self, String) {
        let authority = url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap();
        let host = authority.rsplit('@').next().unwrap().to_owned();
        let default_port = if url.starts_with("amqp") { 5672 } else { 5432 };
        let target = if host.contains(':') { host.clone() } else { format!("{host}:{default_port}") };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (way, watching) = watch::channel(ProxyMode::Open);
        let heard = Arc::new(watch::Sender::new(0));
        tokio::spawn(accept(listener, target, watching, Arc::clone(&heard)));
        (Self { way, heard }, url.replacen(&host, &addr.to_string(), 1))
    }

    /// Waits until words came by that the way speaks of.
    pub async fn heard(&self) {
        let mut heard = self.heard.subscribe();
        let waiting = heard.wait_for(|times| *times > 0);
        tokio::time::timeout(PATIENCE, waiting).await.expect("the words are never said").unwrap();
    }

    pub fn set(&self, way: ProxyMode) {
        self.heard.send_replace(0);
        self.way.send_replace(way);
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    way: watch::Receiver<ProxyMode>,
    heard: Arc<watch::Sender<u32>>,
) {
    while let Ok((near, _)) = listener.accept().await {
        let target = target.clone();
        let lane = Lane { way: way.clone(), heard: Arc::clone(&heard), fate: Arc::default() };
        tokio::spawn(async move {
            if *lane.way.borrow() == ProxyMode::Cut {
                return;
            }
            // A server that is away is none of ours to mourn: the connection ends, as it would without us.
            let Ok(far) = TcpStream::connect(target).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(lane.clone().carry(near_read, far_write, true));
            tokio::spawn(lane.carry(far_read, near_write, false));
        });
    }
}

impl Lane {
    async fn carry(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, to_server: bool) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read.unwrap_or(0),
                _ = self.way.wait_for(|way| *way == ProxyMode::Cut) => 0,
            };
            // Held: what was read waits here, and with it everything behind it.
            let Ok(way) = self.way.wait_for(|way| *way != ProxyMode::Held).await.map(|way| *way) else { return };
            if read == 0 || way == ProxyMode::Cut {
                return;
            }
            let bytes = &buffer[..read];
            let goes_on =
                if to_server { self.ask(way, &mut to, bytes).await } else { self.answer(way, &mut to, bytes).await };
            if !goes_on.unwrap_or(false) {
                return;
            }
        }
    }

    /// False when nothing may come after it.
    async fn ask(&mut self, way: ProxyMode, to: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<bool> {
        let (ProxyMode::DeafAfter(words) | ProxyMode::MuteAfter(words) | ProxyMode::StuckBefore(words)) = way else {
            return hand_on(way, to, bytes).await;
        };
        let Some(at) = bytes.windows(words.len()).position(|window| window == words.as_bytes()) else {
            return hand_on(way, to, bytes).await;
        };
        match way {
            ProxyMode::DeafAfter(_) => drop(self.fate.set(Fate::Deaf)),
            ProxyMode::MuteAfter(_) => drop(self.fate.set(Fate::Mute)),
            _ => {
                to.write_all(&bytes[..at]).await?;
                self.heard.send_modify(|times| *times += 1);
                return Ok(self.stand_still().await);
            }
        }
        to.write_all(bytes).await?;
        self.heard.send_modify(|times| *times += 1);
        Ok(true)
    }

    async fn answer(&mut self, way: ProxyMode, to: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<bool> {
        match self.fate.get() {
            Some(Fate::Deaf) => Ok(false),
            Some(Fate::Mute) => Ok(self.stand_still().await),
            None => hand_on(way, to, bytes).await,
        }
    }

    async fn stand_still(&mut self) -> bool {
        let _ = self.way.wait_for(|way| *way == ProxyMode::Cut).await;
        false
    }
}

async fn hand_on(way: ProxyMode, to: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<bool> {
    match way {
        ProxyMode::Delayed(so_long) => sleep(so_long).await,
        ProxyMode::Bytewise => {
            for byte in bytes.chunks(1) {
                to.write_all(byte).await?;
                tokio::task::yield_now().await;
            }
            return Ok(true);
        }
        _ => {}
    }
    to.write_all(bytes).await.map(|()| true)
}
