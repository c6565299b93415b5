//! Takes connections, as many as there are places for, until told to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use poem::{Endpoint, http::uri::Scheme};
use shared::shutdown::DRAIN;
use shared::telemetry::metrics::Number;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::http::server::{
    connection::{self, Peer},
    connection_limit::ConnectionLimit,
    tls::Tls,
};

/// After an error: no file descriptors are left, most likely, and asking again at once would only spin.
const PAUSE: Duration = Duration::from_millis(100);

/// What every connection leads to.
pub(crate) struct Server<E> {
    pub(crate) endpoint: Arc<E>,
    pub(crate) places: ConnectionLimit,
    pub(crate) tls: Option<Tls>,
    /// How many connections there are.
    pub(crate) open: Arc<Number>,
}

pub(crate) async fn run<E: Endpoint + 'static>(listener: TcpListener, house: Server<E>, stop: CancellationToken) {
    let (mut connections, mut failing) = (JoinSet::new(), false);
    loop {
        // Without a place nobody is let in: the others wait in the kernel's queue.
        let next = async { (house.places.free().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            next = next => next,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        match (place, accepted) {
            (Some(place), Ok(client)) => {
                failing = false;
                house.let_in(&mut connections, place, client, &stop);
            }
            (_, Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot accept connections");
                }
                tokio::time::sleep(PAUSE).await;
            }
            (None, _) => break,
        }
    }
    for client in who_knocked(listener) {
        let Some(place) = house.places.free().now_or_never().flatten() else { break };
        house.let_in(&mut connections, place, client, &stop);
    }
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN.saturating_sub(Duration::from_secs(2)), finished).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut off: they did not finish in time");
        connections.shutdown().await;
    }
}

impl<E: Endpoint + 'static> Server<E> {
    fn let_in(
        &self,
        connections: &mut JoinSet<()>,
        place: OwnedSemaphorePermit,
        (stream, remote): (TcpStream, SocketAddr),
        stop: &CancellationToken,
    ) {
        let Some(place) = self.places.give(place, remote.ip()) else { return };
        let (endpoint, tls, stop) = (Arc::clone(&self.endpoint), self.tls.clone(), stop.clone());
        let open = self.open.hold();
        connections.spawn(async move {
            let (_place, _open) = (place, open);
            // Whoever goes away before it has begun is of no interest.
            let _ = talk(stream, remote, endpoint, tls, stop).await;
        });
    }
}

/// The last ones: the kernel let them in already, and would throw them out, unheard, with the end of the listener.
/// Asked without the runtime, which has not heard of the latest.
fn who_knocked(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std();
    std::iter::from_fn(move || {
        let (stream, remote) = listener.as_ref().ok()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, remote))
    })
}

async fn talk<E: Endpoint + 'static>(
    stream: TcpStream,
    remote: SocketAddr,
    endpoint: Arc<E>,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = |scheme| Ok::<_, io::Error>(Peer { local: stream.local_addr()?, remote, scheme });
    match tls {
        None => {
            let peer = peer(Scheme::HTTP)?;
            connection::serve(stream, peer, endpoint, stop).await;
        }
        Some(tls) => {
            let peer = peer(Scheme::HTTPS)?;
            let stream = tokio::select! {
                stream = tls.accept(stream) => stream?,
                () = connection::last_call(&stop) => return Ok(()),
            };
            connection::serve(stream, peer, endpoint, stop).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
