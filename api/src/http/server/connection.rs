//! One connection, from its first byte to its end: HTTP/1.1 or HTTP/2, within limits.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use poem::{
    Addr, Endpoint,
    http::{self, HeaderValue, Version, header, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::http::server::progress::Progress;

/// From the first byte of a request to the end of its head, and from a connection's beginning (or the end
/// of an answer, with HTTP/1.1) to the next head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// For a connection on which no request comes, no answer goes and no large part of one leaves. Longer than
/// the edge may take with a request (its body, then its answer: 10 s each).
const SILENCE: Duration = Duration::from_secs(30);

/// How long after `stop` a connection takes requests: what a client was sending at that moment would else be lost,
/// and nobody would know what came of it. With HTTP/1.1 the answer says that it was the last one.
const LAST_CALL: Duration = Duration::from_secs(1);

/// How long a connection that is told to end has for that once nothing is in hand.
const LAST_WORDS: Duration = Duration::from_secs(1);

const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// Who talks to whom, and how.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) scheme: Scheme,
}

pub(crate) async fn last_call(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_CALL).await;
}

/// Returns when the connection is over. After `stop` that is when the requests in hand are answered.
pub(crate) async fn serve<I, E>(stream: I, peer: Peer, endpoint: Arc<E>, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint + 'static,
{
    let (progress, requests) = (Progress::default(), TaskTracker::new());
    let service = service_fn(|mut request: http::Request<Incoming>| {
        progress.made();
        // What is answered bit by bit makes progress by itself.
        request.extensions_mut().insert(progress.clone());
        let (endpoint, progress, in_hand) = (Arc::clone(&endpoint), progress.clone(), requests.token());
        let (stop, has_last_words) = (stop.clone(), request.version() < Version::HTTP_2);
        let Peer { local, remote, scheme } = peer.clone();
        let (local, remote) = (LocalAddr(Addr::SocketAddr(local)), RemoteAddr(Addr::SocketAddr(remote)));
        async move {
            let mut response = endpoint.get_response((request, local, remote, scheme).into()).await;
            if has_last_words && stop.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            progress.made();
            drop(in_hand);
            Ok::<http::Response<_>, Infallible>(response.into())
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(progress.watch(stream)), service));
    // How a client misbehaves, or goes away, is its own affair: no error is of interest.
    tokio::select! {
        _ = &mut connection => return,
        () = progress.ceases(HEAD_TIMEOUT, SILENCE) => {}
        () = last_call(&stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    requests.close();
    let end = async {
        requests.wait().await;
        progress.ceases(LAST_WORDS, LAST_WORDS).await;
    };
    tokio::select! { _ = connection => {}, () = end => {} }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(16 * 1024)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        // A body is 16 KiB at most.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(64 * 1024)
        // Finds out who has gone; who merely answers pings is silent all the same.
        .keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

#[cfg(test)]
mod tests;
