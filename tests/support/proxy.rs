//! A TCP proxy that simulates failures of a server or of the network for one test, while other tests use the server.

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

/// What the proxy does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// Forwards everything.
    Open,
    /// Connections stay open, but no data is forwarded: half-open connections.
    Stalled,
    /// Connections are closed, and new ones are closed at once: a server that is down.
    Closed,
    /// All data is delayed by this time.
    Delayed(Duration),
    /// All data is forwarded byte by byte.
    Bytewise,
    /// A request that contains this text reaches the server, but the connection is closed instead of forwarding the
    /// response: the client cannot know whether the request was executed.
    CloseAfterRequest(&'static str),
    /// The same, but the connection stays open without a response.
    NoResponseAfter(&'static str),
    /// Of a request that contains this text only what precedes it is forwarded, and nothing more.
    TruncateBefore(&'static str),
}

/// A proxy in front of one server.
pub struct Proxy {
    mode: watch::Sender<ProxyMode>,
    /// How many requests contained the text of the mode since it was set.
    matches: Arc<watch::Sender<u32>>,
}

/// One direction of a connection.
#[derive(Clone)]
struct Direction {
    mode: watch::Receiver<ProxyMode>,
    matches: Arc<watch::Sender<u32>>,
    /// What happens to responses on this connection after a matching request, even if the mode changes.
    response_failure: Arc<OnceLock<ResponseFailure>>,
}

#[derive(Clone, Copy)]
enum ResponseFailure {
    /// The connection is closed.
    Close,
    /// The connection stays open, and no response is forwarded.
    Withhold,
}

/// How long to wait for a matching request, which clients send every second.
const MATCH_TIMEOUT: Duration = Duration::from_secs(60);

impl Proxy {
    /// Starts a proxy in front of the server of this URL. Returns it and the URL to use instead.
    pub async fn in_front_of(url: &str) -> (Self, String) {
        let (host, target) = host_and_target(url);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (mode, mode_receiver) = watch::channel(ProxyMode::Open);
        let matches = Arc::new(watch::Sender::new(0));
        tokio::spawn(accept(listener, target, mode_receiver, Arc::clone(&matches)));
        (Self { mode, matches }, url.replacen(&host, &addr.to_string(), 1))
    }

    /// Waits until a request contained the text of the mode.
    pub async fn wait_for_match(&self) {
        let mut matches = self.matches.subscribe();
        let waiting = matches.wait_for(|count| *count > 0);
        tokio::time::timeout(MATCH_TIMEOUT, waiting).await.expect("a request that contains the text").unwrap();
    }

    /// Changes the mode, also for open connections.
    pub fn set(&self, mode: ProxyMode) {
        self.matches.send_replace(0);
        self.mode.send_replace(mode);
    }
}

/// The host of a URL with the port if it has one, and the address to connect to.
pub(crate) fn host_and_target(url: &str) -> (String, String) {
    let authority = url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap();
    let host = authority.rsplit('@').next().unwrap().to_owned();
    let default_port = if url.starts_with("amqp") { 5672 } else { 5432 };
    let target = if host.contains(':') { host.clone() } else { format!("{host}:{default_port}") };
    (host, target)
}

async fn accept(
    listener: TcpListener,
    target: String,
    mode: watch::Receiver<ProxyMode>,
    matches: Arc<watch::Sender<u32>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let target = target.clone();
        let direction =
            Direction { mode: mode.clone(), matches: Arc::clone(&matches), response_failure: Arc::default() };
        tokio::spawn(async move {
            if *direction.mode.borrow() == ProxyMode::Closed {
                return;
            }
            // If the server is down, the client's connection is closed, as without the proxy.
            let Ok(server) = TcpStream::connect(target).await else { return };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (client_read, client_write) = client.into_split();
            let (server_read, server_write) = server.into_split();
            tokio::spawn(direction.clone().copy(client_read, server_write, true));
            tokio::spawn(direction.copy(server_read, client_write, false));
        });
    }
}

impl Direction {
    /// Forwards data from `source` to `target` until either is closed or the mode closes the connection.
    async fn copy(mut self, mut source: OwnedReadHalf, mut target: OwnedWriteHalf, to_server: bool) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = tokio::select! {
                read = source.read(&mut buffer) => read.unwrap_or(0),
                _ = self.mode.wait_for(|mode| *mode == ProxyMode::Closed) => 0,
            };
            // In mode Stalled, data that was read waits here, and all later data behind it.
            let Ok(mode) = self.mode.wait_for(|mode| *mode != ProxyMode::Stalled).await.map(|mode| *mode) else {
                return;
            };
            if read == 0 || mode == ProxyMode::Closed {
                return;
            }
            let bytes = &buffer[..read];
            let continues = if to_server {
                self.forward_request(mode, &mut target, bytes).await
            } else {
                self.forward_response(mode, &mut target, bytes).await
            };
            if !continues.unwrap_or(false) {
                return;
            }
        }
    }

    /// Returns false when nothing more may be forwarded.
    async fn forward_request(
        &mut self,
        mode: ProxyMode,
        target: &mut OwnedWriteHalf,
        bytes: &[u8],
    ) -> io::Result<bool> {
        let (ProxyMode::CloseAfterRequest(text) | ProxyMode::NoResponseAfter(text) | ProxyMode::TruncateBefore(text)) =
            mode
        else {
            return forward(mode, target, bytes).await;
        };
        let Some(position) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) else {
            return forward(mode, target, bytes).await;
        };
        match mode {
            ProxyMode::CloseAfterRequest(_) => drop(self.response_failure.set(ResponseFailure::Close)),
            ProxyMode::NoResponseAfter(_) => drop(self.response_failure.set(ResponseFailure::Withhold)),
            _ => {
                target.write_all(&bytes[..position]).await?;
                self.matches.send_modify(|count| *count += 1);
                return Ok(self.block_until_closed().await);
            }
        }
        target.write_all(bytes).await?;
        self.matches.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// Returns false when nothing more may be forwarded.
    async fn forward_response(
        &mut self,
        mode: ProxyMode,
        target: &mut OwnedWriteHalf,
        bytes: &[u8],
    ) -> io::Result<bool> {
        match self.response_failure.get() {
            Some(ResponseFailure::Close) => Ok(false),
            Some(ResponseFailure::Withhold) => Ok(self.block_until_closed().await),
            None => forward(mode, target, bytes).await,
        }
    }

    async fn block_until_closed(&mut self) -> bool {
        let _ = self.mode.wait_for(|mode| *mode == ProxyMode::Closed).await;
        false
    }
}

/// Forwards data as the mode says; true, because more may follow.
async fn forward(mode: ProxyMode, target: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<bool> {
    match mode {
        ProxyMode::Delayed(delay) => sleep(delay).await,
        ProxyMode::Bytewise => {
            for byte in bytes.chunks(1) {
                target.write_all(byte).await?;
                tokio::task::yield_now().await;
            }
            return Ok(true);
        }
        _ => {}
    }
    target.write_all(bytes).await.map(|()| true)
}
