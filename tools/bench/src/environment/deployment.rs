//! A service of its own: a database, a prefix in the broker, settings, and the processes that run with them.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Result, bail};
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

pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) database_url: String,
    pub(crate) database: Client,
    pub(crate) broker: Broker,
    pub(crate) settings: Settings,
}

/// A running API.
pub(crate) struct Api {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// One that is not ready yet.
pub(crate) struct StartingApi(pub(crate) Process);

impl StartingApi {
    pub(crate) async fn ready(self) -> Result<Api> {
        let Self(mut process) = self;
        let (address, ops) = (process.address("api").await?, process.address("ops").await?);
        process.ready(ops).await?;
        Ok(Api { process, address })
    }
}

impl Deployment {
    pub(crate) async fn prepare(context: &BenchContext, of: &str) -> Result<Self> {
        let name = context.unique_name(of);
        database::create(context, &name, "template1").await?;
        let database_url = database::url(context, &name);
        database::migrate(&database_url).await?;
        let settings = [
            ("DATABASE_URL", database_url.as_str()),
            ("AMQP_URL", &context.amqp_url),
            ("AMQP_PREFIX", &name),
            ("CODE_SECRETS", CODE_SECRETS),
            ("API_ADDR", "127.0.0.1:0"),
            ("OPS_ADDR", "127.0.0.1:0"),
            // The driver is a proxy that speaks for many networks, so no limit of one network is in the way and
            // every check of those limits is made.
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

    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    pub(crate) async fn api(&self, context: &BenchContext) -> Result<Api> {
        self.spawn_api(context)?.ready().await
    }

    /// Without waiting for anything.
    pub(crate) fn spawn_api(&self, context: &BenchContext) -> Result<StartingApi> {
        Ok(StartingApi(Process::start(&mut self.command(context, "api"), &context.scratch, "api")?))
    }

    pub(crate) async fn worker(&self, context: &BenchContext, mail_server: &FakeSmtpServer) -> Result<Process> {
        let mut process = self.spawn_worker(context, mail_server)?;
        let ops = process.address("ops").await?;
        process.ready(ops).await?;
        Ok(process)
    }

    /// Without waiting for anything.
    pub(crate) fn spawn_worker(&self, context: &BenchContext, mail_server: &FakeSmtpServer) -> Result<Process> {
        Process::start(self.command(context, "worker").env("SMTP_URL", mail_server.url()), &context.scratch, "worker")
    }

    fn command(&self, context: &BenchContext, program: &str) -> Command {
        let mut command = Command::new(context.programs.join(program));
        command.env_clear().envs(&self.settings);
        command
    }

    pub(crate) fn code_secrets() -> Result<CodeSecrets> {
        CodeSecrets::parse(CODE_SECRETS).map_err(anyhow::Error::msg)
    }

    /// Waits until nothing is on its way any more, so that what comes next is measured alone.
    pub(crate) async fn wait_until_idle(&self) -> Result<()> {
        let (deadline, mut quiet) = (now() + Duration::from_secs(120), 0);
        while quiet < 3 {
            if now() > deadline {
                bail!("what is on its way never arrives");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let outbox = database::count(&self.database, "SELECT count(*) FROM outbox").await?;
            quiet = if outbox == 0 && self.broker.waiting().await? == 0 { quiet + 1 } else { 0 };
        }
        Ok(())
    }
}
