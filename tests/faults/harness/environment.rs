//! The service as in production: several APIs and workers, with proxies in front of Postgres, the broker and the mail
//! server; and the run of one fault under load.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::harness::{
    checker::{self, PromptMails},
    event_subscriber::EventSubscriber,
    history::History,
    load::Load,
    lost_commits::LostCommits,
    queues, report_table, servers,
    service_process::{ApiAddresses, Service, ServiceProcess},
    tolerance::{self, MAX_RECOVERY, Tolerance, schedule},
    user_simulator::UserSimulator,
};
use support::{
    database::{self, Database},
    fake_smtp::FakeSmtpServer,
    proxy::Proxy,
    stack::SUBJECT_KEY,
};

/// The servers of an environment.
pub(crate) struct ServerUrls {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
}

/// The processes, proxies, servers and simulated users of one test.
pub(crate) struct Environment {
    pub(crate) to_postgres: Proxy,
    pub(crate) to_broker: Proxy,
    pub(crate) to_mail: Proxy,
    pub(crate) mail_server: Arc<FakeSmtpServer>,
    pub(crate) history: History,
    pub(crate) prefix: String,
    pub(crate) apis: Vec<ServiceProcess>,
    pub(crate) workers: Vec<ServiceProcess>,
    addresses: ApiAddresses,
    settings: HashMap<String, String>,
    /// For the checker, without the proxy. Several hosts, when one can fail over to another.
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    /// Set by a fault that loses commits.
    pub(crate) failover: LostCommits,
    _database: Option<Database>,
}

/// Users who start right before the fault are affected by it, so they do not count as "before".
const MARGIN_BEFORE_FAULT: Duration = Duration::from_millis(500);

impl Environment {
    /// Two APIs and two workers, on the servers that all tests share.
    pub(crate) async fn start() -> Self {
        let mut environment = Self::prepare().await;
        environment.start_processes(2, 2).await;
        environment
    }

    /// The same, without processes.
    pub(crate) async fn prepare() -> Self {
        Self::with_broker(&database::server_url("AMQP_URL")).await
    }

    /// The same, on a broker that the test may kill.
    pub(crate) async fn with_broker(amqp_url: &str) -> Self {
        let database = Database::create().await;
        let servers = ServerUrls { database_url: database.url.clone(), amqp_url: amqp_url.to_owned() };
        let mut environment = Self::on_servers(servers).await;
        environment._database = Some(database);
        environment
    }

    /// An environment on servers that the test may kill, without processes.
    pub(crate) async fn on_servers(servers: ServerUrls) -> Self {
        let mail_server = FakeSmtpServer::start().await;
        let (to_postgres, database_url) = Proxy::in_front_of(&servers.database_url).await;
        let (to_broker, amqp_url) = Proxy::in_front_of(&servers.amqp_url).await;
        let (to_mail, smtp_url) = Proxy::in_front_of(&mail_server.url()).await;
        let prefix = format!("faults-{}", database::random_id());
        let settings = [
            ("DATABASE_URL", database_url.as_str()),
            ("AMQP_URL", &amqp_url),
            ("SMTP_URL", &smtp_url),
            ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("SUBJECT_KEY", SUBJECT_KEY),
            ("AMQP_PREFIX", &prefix),
            ("TRUSTED_PROXIES", "127.0.0.1"),
            // Tests run in parallel on few cores, and none tests hashing: so hashes are cheap. But the queue for
            // hashing must be short: users who all retry after an outage would otherwise be served too late, one after
            // the other.
            ("ARGON2_MEMORY_KIB", "7168"),
            ("ARGON2_PASSES", "1"),
            ("HASH_QUEUE_MS", "2000"),
            // A guess whose process is killed counts as wrong, and users retry: at four digits a long test would exceed the
            // limit of a small instance.
            ("CODE_LENGTH", "6"),
            // As long as a user retries, so that no slow machine makes a code expire. A mail that is sent again within ten
            // minutes has the same text: it states the lifetime, which shrinks only when the maximum age is near.
            ("CODE_TTL_SECONDS", "300"),
            ("CODE_MAX_AGE_SECONDS", "900"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self {
            to_postgres,
            to_broker,
            to_mail,
            mail_server: Arc::new(mail_server),
            history: History::default(),
            prefix,
            apis: Vec::new(),
            workers: Vec::new(),
            addresses: ApiAddresses::default(),
            settings,
            database_url: servers.database_url,
            amqp_url: servers.amqp_url,
            failover: LostCommits::default(),
            _database: None,
        }
    }

    /// Sets a setting for all processes that are started later.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Starts processes, and waits until each is ready.
    pub(crate) async fn start_processes(&mut self, apis: usize, workers: usize) {
        for _ in 0..apis {
            self.apis.push(self.start_process(Service::Api, &[]).await);
        }
        for _ in 0..workers {
            self.workers.push(self.start_process(Service::Worker, &[]).await);
        }
    }

    /// Starts a process with extra settings, and waits until it is ready.
    pub(crate) async fn start_process(&self, service: Service, settings: &[(&str, &str)]) -> ServiceProcess {
        let process = self.spawn_process(service, settings);
        process.ready().await;
        process
    }

    /// Starts a process without waiting until it is ready, because a fault point may kill it before.
    pub(crate) fn spawn_process(&self, service: Service, settings: &[(&str, &str)]) -> ServiceProcess {
        ServiceProcess::start(service, &self.variables(settings), &self.addresses)
    }

    /// The environment variables of a process, with extra settings.
    pub(crate) fn variables(&self, settings: &[(&str, &str)]) -> HashMap<String, String> {
        let mut variables = self.settings.clone();
        variables.extend(settings.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        variables
    }

    /// Runs a fault and its repair under load, and asserts everything that must hold afterwards.
    ///
    /// `name` is the name of the fault in docs/RELIABILITY.md.
    pub(crate) async fn assert_survives(
        mut self,
        name: &str,
        tolerance: Tolerance,
        fault: impl AsyncFnOnce(&mut Self),
    ) {
        let schedule = schedule();
        let subscriber = EventSubscriber::bind(&self).await;
        let simulator = UserSimulator::new(self.addresses.clone(), Arc::clone(&self.mail_server), self.history.clone());
        let load = Load::start(simulator);
        let started = Instant::now();
        sleep(schedule.before).await;
        servers::wait_until("a user has a mail", async || self.history.has_mail()).await;
        let fault_started = Instant::now();
        fault(&mut self).await;
        let repaired = Instant::now();
        sleep(schedule.settle).await;
        let before = checker::count_prompt_mails(&self.history, started, fault_started - MARGIN_BEFORE_FAULT);
        let after = self.wait_for_recovery(schedule.after, before).await;
        load.stop().await;

        let left_over = queues::wait_until_empty(&self, tolerance.parked).await;
        let client = self.client().await;
        let mut report = checker::check(&self.history, &client, &self.mail_server.mails(), &self.failover).await;
        report.unexpected.extend(left_over);
        subscriber.compare(&mut report, &client, &self.failover).await;
        report_table::print(name, &report, report_table::rate(before, after), repaired - fault_started);
        tolerance::assert_within(&report, &tolerance, self.failover.records);
        tolerance::assert_recovered(before, after);
    }

    /// Measures spans of time until mails are as prompt as before the fault, and returns the last measurement.
    ///
    /// On a busy machine the first spans may be worse, but not for longer than the maximum recovery time.
    async fn wait_for_recovery(&self, span: Duration, before: PromptMails) -> PromptMails {
        let deadline = Instant::now() + MAX_RECOVERY;
        loop {
            let from = Instant::now();
            sleep(span).await;
            let after = checker::wait_for_prompt_mails(&self.history, from, Instant::now()).await;
            if tolerance::has_recovered(before, after) || Instant::now() > deadline {
                return after;
            }
        }
    }

    /// How many messages are in the outbox.
    pub(crate) async fn outbox_rows(&self) -> i64 {
        self.client().await.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get(0)
    }

    /// A new connection to the database, without the proxy, and without the timeouts that the role of the processes has.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database_url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let no_timeouts =
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";
        client.batch_execute(no_timeouts).await.unwrap();
        client
    }
}
