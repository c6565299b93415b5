//! An isolated deployment of the service: its own database, AMQP prefix, settings and processes.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Result, bail};
use futures_util::future::try_join_all;
use shared::codes::CodeSecrets;
use tokio_postgres::Client;

use crate::{
    clock::now,
    environment::{
        broker::Broker,
        context::BenchContext,
        database,
        fake_smtp::FakeSmtpServer,
        process::{Process, Settings},
    },
};

const CODE_SECRETS: &str = "bench:YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2gtYmVuY2g=";
const SUBJECT_KEY: &str = "c3ViamVjdC1rZXktc3ViamVjdC1rZXktc3ViamVjdC1rZXk=";

/// Database, broker and settings for `api` and `worker` processes.
pub(crate) struct Deployment {
    /// Name of the database and AMQP prefix.
    pub(crate) name: String,
    pub(crate) database_url: String,
    pub(crate) database: Client,
    pub(crate) broker: Broker,
    pub(crate) settings: Settings,
}

/// A running API that is ready for requests.
pub(crate) struct Api {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// The listener of health checks and metrics.
    pub(crate) ops: SocketAddr,
}

/// An API process that may not be ready yet.
pub(crate) struct StartingApi {
    pub(crate) process: Process,
}

/// Stops all APIs gracefully at the same time.
pub(crate) async fn stop_apis(apis: Vec<Api>) -> Result<()> {
    try_join_all(apis.into_iter().map(|api| api.process.stop())).await?;
    Ok(())
}

impl StartingApi {
    /// Waits until the API is ready.
    pub(crate) async fn ready(self) -> Result<Api> {
        let Self { mut process } = self;
        let (address, ops) = (process.address("api").await?, process.address("ops").await?);
        process.wait_until_ready(ops).await?;
        Ok(Api { process, address, ops })
    }
}

impl Deployment {
    /// Creates and migrates the database and declares the queues; starts no process.
    pub(crate) async fn prepare(context: &BenchContext, label: &str) -> Result<Self> {
        let name = context.unique_name(label);
        database::create(context, &name, "template1").await?;
        let database_url = database::url(context, &name);
        database::migrate(&database_url).await?;
        let settings = [
            ("DATABASE_URL", database_url.as_str()),
            ("AMQP_URL", &context.amqp_url),
            ("AMQP_PREFIX", &name),
            ("CODE_SECRETS", CODE_SECRETS),
            ("SUBJECT_KEY", SUBJECT_KEY),
            ("API_ADDR", "127.0.0.1:0"),
            ("OPS_ADDR", "127.0.0.1:0"),
            // The load driver sends X-Forwarded-For for many networks, so that limits per network are checked but
            // not reached.
            ("TRUSTED_PROXIES", "127.0.0.1"),
            ("PASSWORD_ENGINE", context.engine.name()),
        ];
        Ok(Self {
            database: database::connect(&database_url).await?,
            broker: Broker::open(&context.amqp_url, &name).await?,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            name,
            database_url,
        })
    }

    /// Sets an environment variable of the processes that are started later.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    /// Starts an API and waits until it is ready.
    pub(crate) async fn start_api(&self, context: &BenchContext) -> Result<Api> {
        self.spawn_api(context)?.ready().await
    }

    /// Starts an API without waiting until it is ready.
    pub(crate) fn spawn_api(&self, context: &BenchContext) -> Result<StartingApi> {
        let process = Process::start(&mut self.command(context, "api"), &context.scratch, "api")?;
        Ok(StartingApi { process })
    }

    /// Starts `count` APIs and waits until all are ready.
    pub(crate) async fn start_apis(&self, context: &BenchContext, count: usize) -> Result<Vec<Api>> {
        let starting = (0..count).map(|_| self.spawn_api(context)).collect::<Result<Vec<_>>>()?;
        try_join_all(starting.into_iter().map(StartingApi::ready)).await
    }

    /// Starts a worker and waits until it is ready.
    pub(crate) async fn start_worker(&self, context: &BenchContext, mail_server: &FakeSmtpServer) -> Result<Process> {
        let mut process = self.spawn_worker(context, mail_server)?;
        let ops = process.address("ops").await?;
        process.wait_until_ready(ops).await?;
        Ok(process)
    }

    /// Starts a worker without waiting until it is ready.
    pub(crate) fn spawn_worker(&self, context: &BenchContext, mail_server: &FakeSmtpServer) -> Result<Process> {
        Process::start(self.command(context, "worker").env("SMTP_URL", mail_server.url()), &context.scratch, "worker")
    }

    fn command(&self, context: &BenchContext, program: &str) -> Command {
        let mut command = Command::new(context.programs.join(program));
        command.env_clear().envs(&self.settings);
        command
    }

    /// The secrets that all deployments use.
    pub(crate) fn code_secrets() -> Result<CodeSecrets> {
        CodeSecrets::parse(CODE_SECRETS).map_err(anyhow::Error::msg)
    }

    /// Waits until outbox and queue are empty, so that earlier work does not affect the next measurement.
    pub(crate) async fn wait_until_idle(&self) -> Result<()> {
        let deadline = now() + Duration::from_secs(120);
        let mut idle_checks = 0;
        while idle_checks < 3 {
            if now() > deadline {
                bail!("outbox and queue were not empty within 120 s");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let outbox = database::count(&self.database, "SELECT count(*) FROM outbox").await?;
            let is_idle = outbox == 0 && self.broker.waiting().await? == 0;
            idle_checks = if is_idle { idle_checks + 1 } else { 0 };
        }
        Ok(())
    }
}
