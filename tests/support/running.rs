//! A process of ours in a test: asked, stopped, killed.

use std::{net::SocketAddr, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// More than a worker gives one attempt to open its connections.
const PATIENCE: Duration = Duration::from_secs(45);

/// What is checked is kept for a second: who asks without a pause takes the processor from those who are waited for.
const PAUSE: Duration = Duration::from_millis(20);

/// A process of ours, but for having an address space of its own.
pub struct RunningService {
    pub client: Client,
    pub ops: Client,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl RunningService {
    pub fn new<F>(addr: SocketAddr, ops: SocketAddr, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(stop.clone()));
        let client = |addr| Client::new(format!("http://{addr}"));
        Self { client: client(addr), ops: client(ops), stop, task }
    }

    /// Waits until nothing is missing, not even what can wait.
    pub async fn has_all(&self) {
        let asking = async {
            while self.asked_if_ready().await.1.contains("failing") {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("something is missing");
    }

    /// Waits until `/health/ready` answers with this status.
    pub async fn becomes(&self, status: u16) {
        let asking = async {
            while self.asked_if_ready().await.0 != status {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never {status}"));
    }

    pub async fn asked_if_ready(&self) -> (u16, String) {
        let answer = self.ops.request("GET", "/health/ready").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// As SIGTERM does it.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.unwrap()
    }

    /// As SIGKILL does it, at whatever it is waiting for.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
