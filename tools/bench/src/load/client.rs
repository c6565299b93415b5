//! HTTP client with a bounded pool of keep-alive connections to one server.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::ready,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hyper::{
    Request,
    body::{Body, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

use crate::clock::now;

/// Timeout of a request: longer than any rejection may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The client. Connections are opened when needed and reused.
pub(crate) struct HttpClient {
    address: SocketAddr,
    permits: Semaphore,
    idle: Mutex<Vec<SendRequest<String>>>,
    opened: AtomicUsize,
}

/// Status of a response and the time when it was complete. Status 0 means that the request failed or timed out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) at: Instant,
}

impl HttpClient {
    /// A client with at most this many connections.
    pub(crate) fn new(address: SocketAddr, connections: usize) -> Arc<Self> {
        let (idle, opened) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { address, permits: Semaphore::new(connections), idle, opened })
    }

    /// Sends a request; waits for a free connection if the pool is exhausted.
    pub(crate) async fn send(&self, request: Request<String>) -> Response {
        // The semaphore is never closed, so this cannot fail.
        let _permit = self.permits.acquire().await;
        let status = timeout(TIMEOUT, self.exchange(request)).await;
        Response { status: status.map_or(0, |exchanged| exchanged.unwrap_or(0)), at: now() }
    }

    /// Whether a request sent now gets a connection immediately.
    pub(crate) fn has_free_connection(&self) -> bool {
        self.permits.available_permits() > 0
    }

    /// The number of connections opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    async fn exchange(&self, request: Request<String>) -> Result<u16> {
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        drain(response.into_body()).await?;
        if connection.ready().await.is_ok() {
            self.idle().push(connection);
        }
        Ok(status)
    }

    async fn connection(&self) -> Result<SendRequest<String>> {
        loop {
            let Some(mut kept) = self.idle().pop() else { return self.open().await };
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<String>> {
        let stream = TcpStream::connect(self.address).await.context("cannot connect to the server under test")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(sender)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<String>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the body to its end, so that the connection can be reused.
async fn drain(mut body: Incoming) -> Result<()> {
    let end_of_body = std::future::poll_fn(|context| {
        while let Some(frame) = ready!(Pin::new(&mut body).poll_frame(context)) {
            if let Err(error) = frame {
                return std::task::Poll::Ready(Err(error));
            }
        }
        std::task::Poll::Ready(Ok(()))
    });
    Ok(end_of_body.await?)
}
