//! An API or a worker that runs inside the test's process.

use std::{net::SocketAddr, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// Longer than a worker's timeout for one attempt to open its connections.
const READY_TIMEOUT: Duration = Duration::from_secs(45);

/// Health checks are cached for a second; polling without a pause would only take the processor from the service.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running API or worker: everything of the real process but its own address space.
pub struct RunningService {
    /// A client of the API; of the ops server for a worker.
    pub client: Client,
    /// A client of the ops server (`/health/…`, `/metrics`).
    pub ops: Client,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl RunningService {
    /// Spawns the service; `run` gets the token that stops it.
    pub fn new<F>(addr: SocketAddr, ops: SocketAddr, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(stop.clone()));
        let client = |addr| Client::new(format!("http://{addr}"));
        Self { client: client(addr), ops: client(ops), stop, task }
    }

    /// Waits until `/health/ready` reports no check as failing, not even one that does not affect readiness.
    pub async fn wait_until_all_checks_pass(&self) {
        let polling = async {
            while self.readiness().await.1.contains("failing") {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::time::timeout(READY_TIMEOUT, polling).await.expect("a health check keeps failing");
    }

    /// Waits until `/health/ready` returns this status.
    pub async fn wait_for_readiness(&self, status: u16) {
        let polling = async {
            while self.readiness().await.0 != status {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        tokio::time::timeout(READY_TIMEOUT, polling)
            .await
            .unwrap_or_else(|_| panic!("/health/ready did not become {status}"));
    }

    /// Status and body of `/health/ready`.
    pub async fn readiness(&self) -> (u16, String) {
        let answer = self.ops.request("GET", "/health/ready").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Stops the service gracefully, as SIGTERM does, and returns its result.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.unwrap()
    }

    /// Aborts the service at its current await point, like SIGKILL.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
