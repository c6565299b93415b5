//! The accept loop: accepts connections up to the connection limit, and drains them at shutdown.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use poem::{Endpoint, http::uri::Scheme};
use shared::telemetry::metrics::{Gauge, GaugeGuard};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::http::server::{
    connection::{self, ConnectionInfo},
    connection_limit::ConnectionLimit,
    tls::Tls,
};

/// Pause after a failed `accept`. The process has most likely run out of file descriptors, and an immediate retry would
/// only spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// How much earlier than the process the connections have to end.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// How long connections may take to end, however long the process may: a request that arrives within the grace of one
/// second has 10 s for its body and 10 s for its response. A client that reads slowly must not delay a deployment.
const MAX_DRAIN: Duration = Duration::from_secs(22);

/// What every connection is served with.
pub(crate) struct Server<E> {
    pub(crate) endpoint: Arc<E>,
    pub(crate) connection_limit: ConnectionLimit,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<Tls>,
    /// Metric: the number of open connections.
    pub(crate) open_connections: Gauge,
    /// How long the process may take to stop.
    pub(crate) drain: Duration,
}

/// Accepts connections until `stop` is cancelled, then serves the accept backlog and waits for the open connections.
///
/// Returns as soon as all are closed. After at most `MAX_DRAIN`, and before the process has to end, those that are still
/// open are closed.
pub(crate) async fn run<E: Endpoint + 'static>(listener: TcpListener, server: Server<E>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut is_failing = false;
    loop {
        // Accepts only with a permit: while the limit is reached, further clients wait in the kernel's accept queue.
        let next = async { (server.connection_limit.acquire().await, listener.accept().await) };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match (permit, accepted) {
            (Some(permit), Ok((stream, remote))) => {
                is_failing = false;
                server.spawn_connection(&mut connections, permit, stream, remote, &stop);
            }
            (_, Err(error)) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "cannot accept connections; retrying");
                }
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
            (None, _) => break,
        }
    }
    for (stream, remote) in drain_accept_backlog(listener) {
        let Some(permit) = server.connection_limit.acquire().now_or_never().flatten() else { break };
        server.spawn_connection(&mut connections, permit, stream, remote, &stop);
    }
    let all_closed = async { while connections.join_next().await.is_some() {} };
    let timeout = server.drain.saturating_sub(DRAIN_MARGIN).min(MAX_DRAIN);
    if tokio::time::timeout(timeout, all_closed).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain timed out; closing the remaining connections");
        connections.shutdown().await;
    }
}

impl<E: Endpoint + 'static> Server<E> {
    /// Serves one accepted connection in a task of its own, or closes it if its network has too many connections.
    fn spawn_connection(
        &self,
        connections: &mut JoinSet<()>,
        permit: OwnedSemaphorePermit,
        stream: TcpStream,
        remote: SocketAddr,
        stop: &CancellationToken,
    ) {
        let Some(permit) = self.connection_limit.admit(permit, remote.ip()) else { return };
        let open_connection = GaugeGuard::new(&self.open_connections);
        let endpoint = Arc::clone(&self.endpoint);
        let tls = self.tls.clone();
        let stop = stop.clone();
        connections.spawn(async move {
            // Both are held until the connection ends.
            let _permit = permit;
            let _open_connection = open_connection;
            // An error here means that the client left before its first request: nothing to report.
            let _ = serve_connection(stream, remote, endpoint, tls, stop).await;
        });
    }
}

/// Accepts the connections that the kernel has already established. It would reset them when the listener is closed.
///
/// Uses the blocking socket instead of the runtime, whose readiness event may not have arrived yet.
fn drain_accept_backlog(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std();
    std::iter::from_fn(move || {
        let (stream, remote) = listener.as_ref().ok()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, remote))
    })
}

async fn serve_connection<E: Endpoint + 'static>(
    stream: TcpStream,
    remote: SocketAddr,
    endpoint: Arc<E>,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    match tls {
        None => {
            let info = ConnectionInfo { local, remote, scheme: Scheme::HTTP };
            connection::serve(stream, info, endpoint, stop).await;
        }
        Some(tls) => {
            let info = ConnectionInfo { local, remote, scheme: Scheme::HTTPS };
            let stream = tokio::select! {
                stream = tls.accept(stream) => stream?,
                () = connection::stop_grace_elapsed(&stop) => return Ok(()),
            };
            connection::serve(stream, info, endpoint, stop).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
