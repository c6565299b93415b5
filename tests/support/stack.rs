//! The whole service for one test: API and worker as they really are, with a database, an AMQP prefix
//! and a mail server of their own.

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

pub struct Stack {
    pub client: Client,
    pub mail_server: FakeSmtpServer,
    pub database: Database,
    pub topology: Topology,
    has_broker: bool,
    variables: HashMap<String, String>,
}

impl Stack {
    /// API and worker, both running until the test ends.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::prepare(settings).await.started().await
    }

    /// The same twice: before a mail server that takes several commands at once, and before one that does not.
    pub async fn start_before_both() -> [Self; 2] {
        let step_by_step = Self::prepare_before(FakeSmtpServer::without_pipelining().await, &[]).await;
        [Self::start().await, step_by_step.started().await]
    }

    async fn started(self) -> Self {
        let mut stack = self;
        stack.client = stack.start_api(&[]).await.client.clone();
        stack.start_worker(&[]).await;
        stack
    }

    /// Everything but the processes.
    pub async fn prepare(settings: &[(&str, &str)]) -> Self {
        Self::prepare_before(FakeSmtpServer::start().await, settings).await
    }

    async fn prepare_before(mail_server: FakeSmtpServer, settings: &[(&str, &str)]) -> Self {
        // With RUST_LOG set, what the processes log is shown for tests that fail.
        let log = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        let _ = log.with_test_writer().try_init();
        let database = Database::create().await;
        let prefix = format!("test-{}", database::random_id());
        let own = [
            ("DATABASE_URL", database.url.as_str()),
            ("AMQP_URL", &database::server("AMQP_URL")),
            ("SMTP_URL", &mail_server.url()),
            ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("AMQP_PREFIX", &prefix),
            // So that a test can come from wherever it likes.
            ("TRUSTED_PROXIES", "127.0.0.1"),
            // Tests run side by side on few cores: patience is not what most of them are about.
            ("HASH_QUEUE_MS", "60000"),
        ];
        let variables = own.iter().chain(settings).map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let client = Client::new("http://no-api-was-started".into());
        Self { client, mail_server, topology: Topology::new(&prefix), database, has_broker: true, variables }
    }

    /// The same for tests that end at the outbox: no broker is touched.
    pub async fn without_broker() -> Self {
        let mut stack = Self::prepare(&[("AMQP_URL", "amqp://u:p@127.0.0.1:1")]).await;
        stack.has_broker = false;
        stack
    }

    /// One more API, with these settings changed. It runs until it is stopped or the test ends.
    pub async fn start_api(&self, settings: &[(&str, &str)]) -> RunningService {
        let config = api::Config::load_from(self.variables(settings)).unwrap();
        let (listener, ops) = (listen().await, listen().await);
        let (addr, ops_addr) = (listener.local_addr().unwrap(), ops.local_addr().unwrap());
        let running = RunningService::new(addr, ops_addr, |stop| api::run(config, listener, ops, stop));
        self.ready(running, settings).await
    }

    pub async fn start_worker(&self, settings: &[(&str, &str)]) -> RunningService {
        let config = worker::Config::load_from(self.variables(settings)).unwrap();
        let ops = listen().await;
        let addr = ops.local_addr().unwrap();
        let running = RunningService::new(addr, addr, |stop| worker::run(config, ops, stop));
        self.ready(running, settings).await
    }

    /// RabbitMQ 3.10 falls over when queues are deleted at the very moment they are being made, so no
    /// test may end before its processes have begun. Those that a test keeps from their servers are let be.
    async fn ready(&self, running: RunningService, settings: &[(&str, &str)]) -> RunningService {
        if self.has_broker && !settings.iter().any(|(name, _)| name.ends_with("_URL")) {
            running.has_all().await;
        }
        running
    }

    pub fn variables(&self, settings: &[(&str, &str)]) -> HashMap<String, String> {
        let mut variables = self.variables.clone();
        variables.extend(settings.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        variables
    }

    pub async fn amqp(&self) -> Channel {
        broker().await.create_channel().await.unwrap()
    }

    /// Waits until so many messages lie in a queue; those in somebody's hands do not count.
    pub async fn queue_holds(&self, queue: &str, messages: u32) {
        let channel = self.amqp().await;
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
            .unwrap_or_else(|_| panic!("{queue} never holds {messages}"));
    }

    /// Registers and waits for the mail: the registration's id and its code.
    pub async fn sign_up(&self, email: &str) -> (String, String) {
        let answer = self.client.register(email).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let mail = self.mail_server.mail_to(email).await;
        let registration = answer.registration();
        self.client.receipt_when(&registration, "sent").await;
        (registration, mail.code())
    }

    /// The same, and activates.
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
        database::finish(async move {
            let Ok(channel) = broker().await.create_channel().await else { return };
            let retries = RETRY_SECONDS.map(|seconds| topology.retry_queue(seconds));
            for queue in retries.iter().chain([&topology.queue, &topology.parked]) {
                let _ = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
            }
            for exchange in [&topology.exchange, &topology.events] {
                let _ = channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await;
            }
        });
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub async fn broker() -> Connection {
    let url = database::server("AMQP_URL");
    Connection::connect(&url, ConnectionProperties::default()).await.expect("RabbitMQ at AMQP_URL")
}
