//! Takes connections, as many as there are places for, until told to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use poem::{Endpoint, http::uri::Scheme};
use shared::process::DRAIN;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    connection::{self, Peer},
    places::Places,
    tls::Tls,
};

/// After an error: no file descriptors are left, most likely, and asking again at once would only spin.
const PAUSE: Duration = Duration::from_millis(100);

/// What every connection leads to.
pub(super) struct House<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) places: Places,
    pub(super) tls: Option<Tls>,
}

pub(super) async fn run<E: Endpoint + 'static>(listener: TcpListener, house: House<E>, stop: CancellationToken) {
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
            (Some(place), Ok((stream, remote))) => {
                failing = false;
                let Some(place) = house.places.give(place, remote.ip()) else { continue };
                let (endpoint, tls, stop) = (Arc::clone(&house.endpoint), house.tls.clone(), stop.clone());
                connections.spawn(async move {
                    let _place = place;
                    // Whoever goes away before it has begun is of no interest.
                    let _ = talk(stream, remote, endpoint, tls, stop).await;
                });
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
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN.saturating_sub(Duration::from_secs(2)), finished).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut off: they did not finish in time");
        connections.shutdown().await;
    }
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
            let Some(stream) = stop.run_until_cancelled(tls.accept(stream)).await else { return Ok(()) };
            connection::serve(stream?, peer, endpoint, stop).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
