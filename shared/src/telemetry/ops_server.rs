//! The ops server of a process (`OPS_ADDR`): liveness, readiness and metrics for operators, orchestrators and
//! Prometheus.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use hyper::{
    Method, Request, Response, body::Incoming, header::CONTENT_TYPE, http, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use crate::telemetry::health::HealthReporter;

/// The timeout of a whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The timeout for the head of a request. It is shorter than [`REQUEST_TIMEOUT`], so that silent clients do not occupy
/// the few connections for long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_HEAD_BYTES: usize = 8 * 1024;
const MAX_CONNECTIONS: usize = 32;

const NOT_FOUND: &str = "not found: this server has /health/live, /health/ready and /metrics";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves `GET /health/live`, `GET /health/ready` and `GET /metrics` as long as the future is polled. Once `stop` is
/// cancelled the process drains: it is live, not ready, and its metrics can still be scraped.
pub async fn serve(listener: TcpListener, reporter: HealthReporter, stop: CancellationToken) -> Infallible {
    accept_loop(&listener, reporter.draining_after(stop)).await
}

/// Serves the same paths while the process migrates: it is live but not ready. Migrations may take longer than an
/// orchestrator waits for a live process.
pub async fn serve_while_migrating<T>(
    listener: &TcpListener,
    process: &'static str,
    migration: impl Future<Output = T>,
) -> T {
    tokio::select! {
        never = accept_loop(listener, HealthReporter::migrating(process)) => match never {},
        output = migration => output,
    }
}

async fn accept_loop(listener: &TcpListener, reporter: HealthReporter) -> Infallible {
    let reporter = Arc::new(reporter);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    // One request per connection. A client may close its half of the connection after the request.
    http.keep_alive(false).half_close(true);
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely out of file descriptors: accepting again at once would only spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let reporter = Arc::clone(&reporter);
        let respond = service_fn(move |request| respond(request, Arc::clone(&reporter)));
        let connection = http.serve_connection(TokioIo::new(stream), respond);
        tokio::spawn(async move {
            let _permit = permit;
            // A client that disconnects or times out needs no response.
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, connection).await;
        });
    }
}

/// Answers one request.
async fn respond(request: Request<Incoming>, reporter: Arc<HealthReporter>) -> http::Result<Response<String>> {
    let (status, content_type, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/health/live") => (200, JSON, json!({ "status": "ok" }).to_string()),
        (&Method::GET, "/health/ready") => {
            let (ready, body) = reporter.readiness().await;
            (if ready { 200 } else { 503 }, JSON, body.to_string())
        }
        (&Method::GET, "/metrics") => (200, PROMETHEUS, reporter.metrics().await),
        _ => (404, JSON, json!({ "status": NOT_FOUND }).to_string()),
    };
    Response::builder().status(status).header(CONTENT_TYPE, content_type).body(body)
}

/// Queries the readiness of the process with this `OPS_ADDR` on the same machine; fails if it is not ready. This is the
/// health check of a container image that contains nothing but the binary.
pub async fn check_readiness(mut addr: SocketAddr) -> Result<()> {
    if addr.ip().is_unspecified() {
        addr.set_ip([127, 0, 0, 1].into());
    }
    let request = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        anyhow::Ok(response)
    };
    let response = tokio::time::timeout(REQUEST_TIMEOUT, request).await.context("the health check timed out")??;
    if !response.starts_with("HTTP/1.1 200") {
        bail!("not ready: {}", response.lines().last().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;
    use crate::telemetry::{
        health::{Check, Checks, Component},
        metrics::Registry,
    };

    async fn check_process_with(components: Vec<Checks>) -> Result<()> {
        let component = |checks: Checks| Component::new("component", move || ready(checks.clone()), || ready(()));
        let (addr, _) = start(components.into_iter().map(component).collect()).await;
        check_readiness(addr).await
    }

    /// Starts a server that runs until the test ends. Returns its address and its stop token.
    async fn start(components: Vec<Component>) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve(listener, HealthReporter::new(Registry::default(), components), stop.clone()));
        (addr, stop)
    }

    #[tokio::test]
    async fn process_is_ready_when_all_checks_are_ok() {
        check_process_with(vec![vec![required("postgres", true), required("broker", true)]]).await.unwrap();
    }

    #[tokio::test]
    async fn failing_check_is_named_in_the_error() {
        let error =
            check_process_with(vec![vec![required("postgres", true), required("broker", false)]]).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains(r#""broker":"failing""#) && error.contains(r#""postgres":"ok""#), "{error}");
    }

    #[tokio::test]
    async fn optional_check_does_not_affect_readiness() {
        let broker = Check { name: "broker", ok: false, required: false };
        check_process_with(vec![vec![required("postgres", true), broker]]).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_first_component_affects_readiness() {
        check_process_with(vec![vec![required("postgres", true)], vec![required("broker", false)]]).await.unwrap();
        let first = vec![vec![required("postgres", false)], vec![required("postgres", true)]];
        assert!(check_process_with(first).await.unwrap_err().to_string().contains(r#""postgres":"failing""#));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_client_is_disconnected() {
        let (addr, _) = start(Vec::new()).await;
        let started = tokio::time::Instant::now();
        let mut silent = TcpStream::connect(addr).await.unwrap();
        silent.write_all(b"GET /health/live HTTP/1.1\r\n").await.unwrap();
        // The server closes with unread bytes, which can reset the connection; that is also an end.
        let _ = silent.read_to_end(&mut Vec::new()).await;
        assert!(started.elapsed() < REQUEST_TIMEOUT, "{:?}", started.elapsed());
    }

    /// A worker drains for a minute: it must not look dead, nor lose its last counts.
    #[tokio::test]
    async fn draining_process_is_live_and_not_ready() {
        let (addr, stop) = start(Vec::new()).await;
        check_readiness(addr).await.unwrap();
        stop.cancel();
        let error = check_readiness(addr).await.unwrap_err().to_string();
        assert!(error.contains("draining"), "{error}");
        for path in ["/health/live", "/metrics"] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        }
    }

    fn required(name: &'static str, ok: bool) -> Check {
        Check { name, ok, required: true }
    }
}
