//! The operator's listener: whether this process lives, and whether it can do its work.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REQUEST_BYTES: usize = 8 * 1024;
const MAX_CONNECTIONS: usize = 32;

/// One of the things that a process works with.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    /// Whether it can do nothing without: if not, it is ready all the same.
    pub needed: bool,
}

pub type Checks = Vec<Check>;

/// Answers `GET /health/live` and `GET /health/ready` until told to stop. Two fixed answers to two
/// fixed lines need no HTTP library: the worker has none.
pub async fn serve<F>(
    listener: TcpListener,
    ready: impl Fn() -> F + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<()>
where
    F: Future<Output = Checks> + Send,
{
    let (ready, places) = (Arc::new(ready), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    loop {
        let next = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! { next = next => next, () = stop.cancelled() => return Ok(()) };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: accepting again at once would only spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let ready = Arc::clone(&ready);
        tokio::spawn(async move {
            let _place = place;
            // A client that goes away in the middle is its own affair.
            let _ = tokio::time::timeout(TIMEOUT, answer(stream, &*ready)).await;
        });
    }
}

async fn answer<F: Future<Output = Checks>>(mut stream: TcpStream, ready: &impl Fn() -> F) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST_BYTES || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, body) = match request.split(|&byte| byte == b'\r').next().unwrap_or_default() {
        line if line.starts_with(b"GET /health/live ") => ("200 OK", json!({ "status": "ok" })),
        line if line.starts_with(b"GET /health/ready ") => readiness(&ready().await),
        _ => ("404 Not Found", json!({ "status": "there are /health/live and /health/ready here" })),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await
}

fn readiness(checks: &Checks) -> (&'static str, Value) {
    let ready = checks.iter().all(|check| check.ok || !check.needed);
    let word = |ok: bool| if ok { "ok" } else { "failing" };
    let checks: serde_json::Map<_, _> = checks.iter().map(|check| (check.name.into(), word(check.ok).into())).collect();
    let status = if ready { "200 OK" } else { "503 Service Unavailable" };
    (status, json!({ "status": word(ready), "checks": checks }))
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
    use super::*;

    async fn ask_a_process_with(checks: Checks) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, move || std::future::ready(checks.clone()), stop.clone()));
        let answer = ask(addr).await;
        stop.cancel();
        serving.await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn a_process_is_ready_when_it_has_all_it_needs() {
        ask_a_process_with(vec![needed("postgres", true), needed("broker", true)]).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_lacks_something_says_what() {
        let error =
            ask_a_process_with(vec![needed("postgres", true), needed("broker", false)]).await.unwrap_err().to_string();
        assert!(error.contains(r#""broker":"failing""#) && error.contains(r#""postgres":"ok""#), "{error}");
    }

    #[tokio::test]
    async fn what_can_wait_is_told_and_keeps_nobody_from_being_ready() {
        let broker = Check { name: "broker", ok: false, needed: false };
        ask_a_process_with(vec![needed("postgres", true), broker]).await.unwrap();
    }

    fn needed(name: &'static str, ok: bool) -> Check {
        Check { name, ok, needed: true }
    }
}
