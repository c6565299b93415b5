//! The whole running service: API, broker, worker and a fake mail server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use hyper::Request;

use crate::{
    environment::{
        context::BenchContext,
        deployment::{Api, Deployment},
        fake_smtp::FakeSmtpServer,
        process::Process,
    },
    load::{
        client::HttpClient,
        closed_loop::{ClosedLoop, ResponseCounts},
        users,
    },
};

/// Enough for every overload, because rejected requests free their connection immediately.
pub(crate) const CONNECTIONS: usize = 512;

/// Clients per hash thread: they keep the thread busy without any of them waiting for 250 ms.
const CLIENTS_PER_THREAD: usize = 8;

/// A maximum wait that no request reaches at the peak, so that a slow machine rejects none.
pub(crate) const LONG_HASH_QUEUE: (&str, &str) = ("HASH_QUEUE_MS", "60000");

/// More users than any closed loop needs.
const USER_BLOCK: u64 = 1_000_000;

/// The processes of a deployment and a client for its API.
pub(crate) struct Pipeline {
    pub(crate) deployment: Deployment,
    pub(crate) api: Api,
    worker: Process,
    pub(crate) mail_server: Arc<FakeSmtpServer>,
    pub(crate) client: Arc<HttpClient>,
    threads: usize,
}

impl Pipeline {
    /// Starts everything, with `threads` hash threads.
    pub(crate) async fn start(
        context: &BenchContext,
        label: &str,
        threads: usize,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let mut deployment = Deployment::prepare(context, label).await?;
        deployment.set("HASH_THREADS", threads);
        settings.iter().for_each(|(name, value)| deployment.set(name, value));
        let mail_server = Arc::new(FakeSmtpServer::start(crate::environment::fake_smtp::DISK_LATENCY).await?);
        let (worker, api) =
            (deployment.start_worker(context, &mail_server).await?, deployment.start_api(context).await?);
        let client = HttpClient::new(api.address, CONNECTIONS);
        Ok(Self { deployment, api, worker, mail_server, client, threads })
    }

    /// The number of concurrent clients that reaches the peak.
    pub(crate) fn clients(&self) -> usize {
        CLIENTS_PER_THREAD * self.threads
    }

    /// Measures registrations at the highest possible rate.
    pub(crate) async fn peak(&self, context: &BenchContext) -> Result<ResponseCounts> {
        let (warm_up, seconds) = (context.warm_up(), context.seconds());
        ClosedLoop { clients: self.clients(), warm_up, seconds }.run(&self.client, new_registrations(context)).await
    }

    /// Waits until all mails are delivered, and clears the record of the mail server.
    pub(crate) async fn wait_until_idle(&self) -> Result<()> {
        self.deployment.wait_until_idle().await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.mail_server.take();
        Ok(())
    }

    /// Stops the processes gracefully.
    pub(crate) async fn stop(self) -> Result<()> {
        self.api.process.stop().await?;
        self.worker.stop().await
    }
}

/// Registration requests, each for a new user.
pub(crate) fn new_registrations(
    context: &BenchContext,
) -> impl Fn() -> Option<Request<String>> + Send + Sync + 'static {
    for_new_users(context, users::register)
}

/// Requests of this kind, each for a new user.
pub(crate) fn for_new_users(
    context: &BenchContext,
    request: fn(u64) -> Request<String>,
) -> impl Fn() -> Option<Request<String>> + Send + Sync + 'static {
    let next = AtomicU64::new(context.allocate_users(USER_BLOCK));
    move || Some(request(next.fetch_add(1, Ordering::Relaxed)))
}
