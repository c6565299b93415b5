//! The whole service for one test: the real API and worker, with their own database, AMQP prefix and mail server.

use std::{collections::HashMap, time::Duration};

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use shared::amqp::topology::{RETRY_SECONDS, Topology};
use tokio::net::TcpListener;

use crate::{
    client::Client,
    database::{self, Database},
    fake_smtp::FakeSmtpServer,
    running::RunningService,
};

/// `SUBJECT_KEY` of the processes. No test changes it but that of the changed key.
pub const SUBJECT_KEY: &str = "c3ViamVjdC1rZXktc3ViamVjdC1rZXktc3ViamVjdC1rZXk=";

/// API, worker and their servers for one test. The broker's queues and exchanges are deleted on drop.
pub struct Stack {
    /// A client of the first API; invalid after [`Stack::prepare`] until the test sets it.
    pub client: Client,
    pub mail_server: FakeSmtpServer,
    pub database: Database,
    pub topology: Topology,
    has_broker: bool,
    /// The environment variables of every process.
    variables: HashMap<String, String>,
}

impl Stack {
    /// Starts an API and a worker with default settings; both run until the test ends.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts an API and a worker with these environment variables changed.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::prepare(settings).await.started().await
    }

    /// Starts two stacks: the mail server of the first supports PIPELINING, that of the second does not.
    pub async fn start_with_and_without_pipelining() -> [Self; 2] {
        let without_pipelining = Self::prepare_with_mail_server(FakeSmtpServer::without_pipelining().await, &[]).await;
        [Self::start().await, without_pipelining.started().await]
    }

    /// Starts an API and a worker.
    async fn started(self) -> Self {
        let mut stack = self;
        stack.client = stack.start_api(&[]).await.client.clone();
        stack.start_worker(&[]).await;
        stack
    }

    /// Creates database, AMQP prefix and mail server, but starts no process.
    pub async fn prepare(settings: &[(&str, &str)]) -> Self {
        Self::prepare_with_mail_server(FakeSmtpServer::start().await, settings).await
    }

    async fn prepare_with_mail_server(mail_server: FakeSmtpServer, settings: &[(&str, &str)]) -> Self {
        // With RUST_LOG set, the log of API and worker is shown for tests that fail.
        let log = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        let _ = log.with_test_writer().try_init();
        let database = Database::create().await;
        let prefix = format!("test-{}", database::random_id());
        let defaults = [
            // As in production: the schema is there, and the processes cannot change it.
            ("DATABASE_URL", database.service_url.as_str()),
            ("MIGRATE_ON_START", "false"),
            ("AMQP_URL", &database::server_url("AMQP_URL")),
            ("SMTP_URL", &mail_server.url()),
            ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("SUBJECT_KEY", SUBJECT_KEY),
            ("AMQP_PREFIX", &prefix),
            // Lets `Client` choose its address by X-Forwarded-For.
            ("TRUSTED_PROXIES", "127.0.0.1"),
            // Tests run in parallel on few cores: only the tests of the hash queue want its short timeout.
            ("HASH_QUEUE_MS", "60000"),
        ];
        let variables =
            defaults.iter().chain(settings).map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let client = Client::new("http://no-api-was-started".into());
        Self { client, mail_server, topology: Topology::new(&prefix), database, has_broker: true, variables }
    }

    /// Like [`Stack::prepare`], for tests that end at the outbox: `AMQP_URL` is unreachable, and no broker is used.
    pub async fn without_broker() -> Self {
        let mut stack = Self::prepare(&[("AMQP_URL", "amqp://u:p@127.0.0.1:1")]).await;
        stack.has_broker = false;
        stack
    }

    /// Starts one more API with these environment variables changed, and waits until it is ready. It runs until it is
    /// stopped or the test ends.
    pub async fn start_api(&self, settings: &[(&str, &str)]) -> RunningService {
        let config = api::Config::load_from(self.variables(settings)).unwrap();
        let (listener, ops) = (listen().await, listen().await);
        let (addr, ops_addr) = (listener.local_addr().unwrap(), ops.local_addr().unwrap());
        let running = RunningService::new(addr, ops_addr, |stop| api::run(config, listener, ops, stop));
        self.wait_until_ready(running, settings).await
    }

    /// Starts one more worker, like [`Stack::start_api`].
    pub async fn start_worker(&self, settings: &[(&str, &str)]) -> RunningService {
        let config = worker::Config::load_from(self.variables(settings)).unwrap();
        let ops = listen().await;
        let addr = ops.local_addr().unwrap();
        let running = RunningService::new(addr, addr, |stop| worker::run(config, ops, stop));
        self.wait_until_ready(running, settings).await
    }

    /// Waits until the process is ready. RabbitMQ 3.10 crashes when queues are deleted while they are being declared,
    /// so no test may end before its processes have started. Does not wait if the test changed the URL of a server,
    /// which may be unreachable.
    async fn wait_until_ready(&self, running: RunningService, settings: &[(&str, &str)]) -> RunningService {
        if self.has_broker && !settings.iter().any(|(name, _)| name.ends_with("_URL")) {
            running.wait_until_all_checks_pass().await;
        }
        running
    }

    /// The environment variables of a process, with these changed.
    pub fn variables(&self, settings: &[(&str, &str)]) -> HashMap<String, String> {
        let mut variables = self.variables.clone();
        variables.extend(settings.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        variables
    }

    /// Opens a channel on a new connection to the broker.
    pub async fn open_channel(&self) -> Channel {
        connect_broker().await.create_channel().await.unwrap()
    }

    /// Waits until the queue has this number of ready messages; unacknowledged ones do not count.
    pub async fn wait_for_queue_length(&self, queue: &str, messages: u32) {
        let channel = self.open_channel().await;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let wait = async {
            while channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
                != messages
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("{queue} did not reach {messages} messages"));
    }

    /// Registers and waits until the mail is sent. Returns the registration's id and its code.
    pub async fn sign_up(&self, email: &str) -> (String, String) {
        let answer = self.client.register(email).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let mail = self.mail_server.mail_to(email).await;
        let registration = answer.registration();
        self.client.wait_for_receipt(&registration, "sent").await;
        (registration, mail.code())
    }

    /// Registers and activates.
    pub async fn sign_up_and_activate(&self, email: &str) {
        let (_, code) = self.sign_up(email).await;
        let answer = self.client.activate(email, &code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !self.has_broker {
            return;
        }
        let topology = self.topology.clone();
        database::run_cleanup(async move {
            let Ok(channel) = connect_broker().await.create_channel().await else { return };
            let queues = [&topology.codes, &topology.notices];
            let retries = queues.map(|queue| RETRY_SECONDS.map(|seconds| queue.retry_queue(seconds)));
            let names = queues.iter().map(|queue| &queue.name).chain([&topology.parked]);
            for queue in retries.iter().flatten().chain(names) {
                let _ = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
            }
            for exchange in [&topology.exchange, &topology.events] {
                let _ = channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await;
            }
        });
    }
}

/// Listens on a free port of loopback.
async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Opens a connection to the broker at `AMQP_URL`.
pub async fn connect_broker() -> Connection {
    let url = database::server_url("AMQP_URL");
    Connection::connect(&url, ConnectionProperties::default()).await.expect("RabbitMQ at AMQP_URL")
}
