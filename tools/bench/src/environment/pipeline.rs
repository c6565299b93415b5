//! The whole service in motion: an API, the broker, a worker, and a mail server at the end.

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

/// Enough for every overload: who is refused is refused at once, and leaves her connection to the next.
pub(crate) const CONNECTIONS: usize = 512;

/// As many clients for each hash thread keep it busy, and none of them waits for as long as 250 ms.
const CLIENTS_OF_A_THREAD: usize = 8;

/// Nobody is refused who waits for less, which at the peak nobody does; a slow machine is no overload.
pub(crate) const LONG_HASH_QUEUE: (&str, &str) = ("HASH_QUEUE_MS", "60000");

/// A block of numbers that no closed loop comes to the end of.
const MANY: u64 = 1_000_000;

pub(crate) struct Pipeline {
    pub(crate) deployment: Deployment,
    pub(crate) api: Api,
    worker: Process,
    pub(crate) mail_server: FakeSmtpServer,
    pub(crate) client: Arc<HttpClient>,
    threads: usize,
}

impl Pipeline {
    pub(crate) async fn start(
        context: &BenchContext,
        of: &str,
        threads: usize,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let mut deployment = Deployment::prepare(context, of).await?;
        deployment.set("HASH_THREADS", threads);
        settings.iter().for_each(|(name, value)| deployment.set(name, value));
        let mail_server = FakeSmtpServer::start(crate::environment::fake_smtp::DISK_LATENCY).await?;
        let (worker, api) = (deployment.worker(context, &mail_server).await?, deployment.api(context).await?);
        let client = HttpClient::new(api.address, CONNECTIONS);
        Ok(Self { deployment, api, worker, mail_server, client, threads })
    }

    pub(crate) fn clients(&self) -> usize {
        CLIENTS_OF_A_THREAD * self.threads
    }

    /// As many registrations as there can be.
    pub(crate) async fn peak(&self, context: &BenchContext) -> Result<ResponseCounts> {
        let (warm_up, seconds) = (context.warm_up(), context.seconds());
        ClosedLoop { clients: self.clients(), warm_up, seconds }.run(&self.client, new_registrations(context)).await
    }

    /// Waits until every mail is out, and forgets them.
    pub(crate) async fn wait_until_idle(&self) -> Result<()> {
        self.deployment.wait_until_idle().await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.mail_server.take();
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.api.process.stop().await?;
        self.worker.stop().await
    }
}

/// Each one that is asked for is another person.
pub(crate) fn new_registrations(
    context: &BenchContext,
) -> impl Fn() -> Option<Request<String>> + Send + Sync + 'static {
    let next = AtomicU64::new(context.new_users(MANY));
    move || Some(users::register(next.fetch_add(1, Ordering::Relaxed)))
}
