//! Serves one connection, HTTP/1.1 or HTTP/2, within limits on time and memory.

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

/// Maximum time from the first byte of a request to the end of its head, and from the start of the connection (with
/// HTTP/1.1 also from the end of a response) to the end of the next head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time without progress: no request arrives, no response starts and no large part of one is sent. Longer than
/// the request middleware may take for one request (10 s for its body, then 10 s for its response).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long after `stop` a connection still takes requests. A request that a client is sending at that moment would
/// otherwise be lost without the client knowing its outcome. With HTTP/1.1, the response carries `Connection: close`.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How long a connection may take to close once its last request has been completed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// Addresses and scheme of a connection.
#[derive(Clone)]
pub(crate) struct ConnectionInfo {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// Returns when `stop` has been cancelled and connections no longer take requests.
pub(crate) async fn stop_grace_elapsed(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_GRACE).await;
}

/// Serves requests until the connection ends. After `stop`, it ends when the requests in flight are completed.
pub(crate) async fn serve<I, E>(stream: I, info: ConnectionInfo, endpoint: Arc<E>, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: Endpoint + 'static,
{
    let progress = Progress::default();
    let requests = TaskTracker::new();
    let service = service_fn(|mut request: http::Request<Incoming>| {
        progress.record();
        // For streaming responses, which record progress themselves.
        request.extensions_mut().insert(progress.clone());
        let endpoint = Arc::clone(&endpoint);
        let progress = progress.clone();
        let in_flight = requests.token();
        let stop = stop.clone();
        let is_http1 = request.version() < Version::HTTP_2;
        let ConnectionInfo { local, remote, scheme } = info.clone();
        let local = LocalAddr(Addr::SocketAddr(local));
        let remote = RemoteAddr(Addr::SocketAddr(remote));
        async move {
            let mut response = endpoint.get_response((request, local, remote, scheme).into()).await;
            if is_http1 && stop.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            progress.record();
            drop(in_flight);
            Ok::<http::Response<_>, Infallible>(response.into())
        }
    });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(progress.wrap(stream)), service));
    // Errors of the connection are not reported: they only say that the client misbehaved or disconnected.
    tokio::select! {
        _ = &mut connection => return,
        () = progress.stalled(HEAD_TIMEOUT, IDLE_TIMEOUT) => {}
        () = stop_grace_elapsed(&stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    requests.close();
    let force_close = async {
        requests.wait().await;
        progress.stalled(CLOSE_TIMEOUT, CLOSE_TIMEOUT).await;
    };
    tokio::select! { _ = connection => {}, () = force_close => {} }
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
        // Enough for whole request bodies, which have at most 16 KiB.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(64 * 1024)
        // Detects disconnected clients. Answered pings are no progress: the idle timeout applies all the same.
        .keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

#[cfg(test)]
mod tests;
