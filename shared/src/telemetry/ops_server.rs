//! The operator's listener: whether this process lives, whether it can do its work, and what it counts.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use crate::telemetry::health::HealthReporter;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Who asks says so at once: silence must not keep the few places for as long as an answer may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_REQUEST_BYTES: usize = 8 * 1024;
const MAX_CONNECTIONS: usize = 32;

const NOT_HERE: &str = "there are /health/live, /health/ready and /metrics here";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers `GET /health/live`, `GET /health/ready` and `GET /metrics` until told to stop. Three answers to three fixed
/// lines need no HTTP library: the worker has none.
pub async fn serve(listener: TcpListener, reporter: HealthReporter, stop: CancellationToken) -> Result<()> {
    tokio::select! {
        never = answer_all(&listener, reporter) => match never {},
        () = stop.cancelled() => Ok(()),
    }
}

/// The same while a process migrates, which may take longer than an orchestrator waits: it lives, and is not ready.
pub async fn alive_meanwhile<T>(
    listener: &TcpListener,
    process: &'static str,
    migrating: impl Future<Output = T>,
) -> T {
    tokio::select! {
        never = answer_all(listener, HealthReporter::of_one_that_migrates(process)) => match never {},
        done = migrating => done,
    }
}

async fn answer_all(listener: &TcpListener, reporter: HealthReporter) -> Infallible {
    let (reporter, places) = (Arc::new(reporter), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: accepting again at once would only spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let reporter = Arc::clone(&reporter);
        tokio::spawn(async move {
            let _place = place;
            // A client that goes away in the middle is its own affair.
            let _ = tokio::time::timeout(TIMEOUT, answer(stream, &reporter)).await;
        });
    }
}

async fn answer(mut stream: TcpStream, reporter: &HealthReporter) -> std::io::Result<()> {
    let Some(request) = tokio::time::timeout(HEAD_TIMEOUT, head(&mut stream)).await?? else { return Ok(()) };
    let (status, kind, body) = match request.split(|&byte| byte == b'\r').next().unwrap_or_default() {
        line if line.starts_with(b"GET /health/live ") => ("200 OK", JSON, json!({ "status": "ok" }).to_string()),
        line if line.starts_with(b"GET /health/ready ") => {
            let (ready, told) = reporter.readiness().await;
            (if ready { "200 OK" } else { "503 Service Unavailable" }, JSON, told.to_string())
        }
        line if line.starts_with(b"GET /metrics ") => ("200 OK", PROMETHEUS, reporter.metrics().await),
        _ => ("404 Not Found", JSON, json!({ "status": NOT_HERE }).to_string()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

/// `None` if it has no end.
async fn head(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST_BYTES || stream.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(request))
}

/// Asks the process on this machine that listens on `addr` whether it is ready: the health check of
/// an image that holds nothing but our binary.
pub async fn ask(mut addr: SocketAddr) -> Result<()> {
    if addr.ip().is_unspecified() {
        addr.set_ip([127, 0, 0, 1].into());
    }
    let asking = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(TIMEOUT, asking).await.context("no answer in time")??;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("not ready: {}", answer.lines().last().unwrap_or_default());
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

    async fn ask_a_process_with(parts: Vec<Checks>) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let part = |checks: Checks| Component::new("part", move || ready(checks.clone()), || ready(()));
        let parts = parts.into_iter().map(part).collect();
        let serving = tokio::spawn(serve(listener, HealthReporter::new(Registry::default(), parts), stop.clone()));
        let answer = ask(addr).await;
        stop.cancel();
        serving.await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn a_process_is_ready_when_it_has_all_it_needs() {
        ask_a_process_with(vec![vec![needed("postgres", true), needed("broker", true)]]).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_lacks_something_says_what() {
        let error =
            ask_a_process_with(vec![vec![needed("postgres", true), needed("broker", false)]]).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains(r#""broker":"failing""#) && error.contains(r#""postgres":"ok""#), "{error}");
    }

    #[tokio::test]
    async fn what_can_wait_is_told_and_keeps_nobody_from_being_ready() {
        let broker = Check { name: "broker", ok: false, needed: false };
        ask_a_process_with(vec![vec![needed("postgres", true), broker]]).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_part_lacks_that_lives_beside_the_first_is_told_and_no_more() {
        ask_a_process_with(vec![vec![needed("postgres", true)], vec![needed("broker", false)]]).await.unwrap();
        let first = vec![vec![needed("postgres", false)], vec![needed("postgres", true)]];
        assert!(ask_a_process_with(first).await.unwrap_err().to_string().contains(r#""postgres":"failing""#));
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_soon_loses_the_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, HealthReporter::new(Registry::default(), Vec::new()), stop.clone()));
        let begun = tokio::time::Instant::now();
        let mut silent = TcpStream::connect(addr).await.unwrap();
        silent.write_all(b"GET /health/live HTTP/1.1\r\n").await.unwrap();
        // Bytes that nobody has read make a reset of the end, which is an end as well.
        let _ = silent.read_to_end(&mut Vec::new()).await;
        assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
        stop.cancel();
        serving.await.unwrap().unwrap();
    }

    fn needed(name: &'static str, ok: bool) -> Check {
        Check { name, ok, needed: true }
    }
}
