//! A server's address, and the connections on which it is asked: kept alive, bounded, opened when needed.

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

/// More than anybody may take to say no.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct HttpClient {
    address: SocketAddr,
    permits: Semaphore,
    idle: Mutex<Vec<SendRequest<String>>>,
    opened: AtomicUsize,
}

/// What was answered, and when; 0 when there was no answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) at: Instant,
}

impl HttpClient {
    pub(crate) fn new(address: SocketAddr, connections: usize) -> Arc<Self> {
        let (idle, opened) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { address, permits: Semaphore::new(connections), idle, opened })
    }

    /// Waits for a free connection first, if there are as many as there may be.
    pub(crate) async fn ask(&self, request: Request<String>) -> Response {
        // Nobody closes the semaphore.
        let _permit = self.permits.acquire().await;
        let status = timeout(TIMEOUT, self.exchange(request)).await;
        Response { status: status.map_or(0, |exchanged| exchanged.unwrap_or(0)), at: now() }
    }

    /// Whether whoever comes now finds a connection.
    pub(crate) fn has_free_connection(&self) -> bool {
        self.permits.available_permits() > 0
    }

    pub(crate) fn connections(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    async fn exchange(&self, request: Request<String>) -> Result<u16> {
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        read(response.into_body()).await?;
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
        let stream = TcpStream::connect(self.address).await.context("nobody listens")?;
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

/// Takes an answer off the wire to its end, so that the next may come on this connection.
async fn read(mut body: Incoming) -> Result<()> {
    let to_the_end = std::future::poll_fn(|context| {
        while let Some(frame) = ready!(Pin::new(&mut body).poll_frame(context)) {
            if let Err(error) = frame {
                return std::task::Poll::Ready(Err(error));
            }
        }
        std::task::Poll::Ready(Ok(()))
    });
    Ok(to_the_end.await?)
}
