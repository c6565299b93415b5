//! The whole service as it is run, several processes of each kind, with links that can fail between any two
//! parts; and a fault that happens to it under load.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use crate::harness::{
    checker,
    event_listener::Listener,
    history::History,
    load::Load,
    queues, report_table, servers,
    service_process::{self, ApiAddresses, Node, Part},
    tolerance::{self, Allowed, RECOVERY, form},
    user_simulator::UserLoad,
};
use support::{
    database::{self, Database},
    fake_smtp::FakeSmtpServer,
    proxy::Proxy,
};

/// The servers that a environment stands on.
pub(crate) struct Servers {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
}

pub(crate) struct Environment {
    pub(crate) to_postgres: Proxy,
    pub(crate) to_broker: Proxy,
    pub(crate) to_mail: Proxy,
    pub(crate) mail_server: Arc<FakeSmtpServer>,
    pub(crate) history: History,
    pub(crate) prefix: String,
    pub(crate) apis: Vec<Node>,
    pub(crate) workers: Vec<Node>,
    addresses: ApiAddresses,
    settings: HashMap<String, String>,
    /// For the checker, past all links. Several, when one may take the place of another.
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    _database: Option<Database>,
}

/// Who comes right before the fault meets it.
const EVE: Duration = Duration::from_millis(500);

impl Environment {
    /// Two APIs and two workers on the servers that all scenes share.
    pub(crate) async fn start() -> Self {
        let mut environment = Self::prepare().await;
        environment.people(2, 2).await;
        environment
    }

    /// The same without the processes.
    pub(crate) async fn prepare() -> Self {
        Self::with_broker(&database::server("AMQP_URL")).await
    }

    pub(crate) async fn with_broker(amqp_url: &str) -> Self {
        let database = Database::create().await;
        let ground = Servers { database_url: database.url.clone(), amqp_url: amqp_url.to_owned() };
        let mut environment = Self::on(ground).await;
        environment._database = Some(database);
        environment
    }

    /// On servers that the test may kill.
    pub(crate) async fn on(ground: Servers) -> Self {
        let mail_server = FakeSmtpServer::start().await;
        let (to_postgres, database_url) = Proxy::before(&ground.database_url).await;
        let (to_broker, amqp_url) = Proxy::before(&ground.amqp_url).await;
        let (to_mail, smtp_url) = Proxy::before(&mail_server.url()).await;
        let prefix = format!("faults-{}", database::random_id());
        let settings = [
            ("DATABASE_URL", database_url.as_str()),
            ("AMQP_URL", &amqp_url),
            ("SMTP_URL", &smtp_url),
            ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("AMQP_PREFIX", &prefix),
            ("TRUSTED_PROXIES", "127.0.0.1"),
            // Scenes run side by side on few cores, and none is about hashing. But whoever must wait long is to be told
            // so: a user_load that comes back all at once would else be served too late, one after the other.
            ("ARGON2_MEMORY_KIB", "7168"),
            ("ARGON2_PASSES", "1"),
            ("HASH_QUEUE_MS", "2000"),
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
            database_url: ground.database_url,
            amqp_url: ground.amqp_url,
            _database: None,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) async fn people(&mut self, apis: usize, workers: usize) {
        for _ in 0..apis {
            self.apis.push(self.start_one(Part::Api, &[]).await);
        }
        for _ in 0..workers {
            self.workers.push(self.start_one(Part::Worker, &[]).await);
        }
    }

    pub(crate) async fn start_one(&self, part: Part, settings: &[(&str, &str)]) -> Node {
        let node = self.launch(part, settings);
        node.ready().await;
        node
    }

    /// Without waiting until it is ready: it may be one that dies before.
    pub(crate) fn launch(&self, part: Part, settings: &[(&str, &str)]) -> Node {
        Node::start(part, &self.variables(settings), &self.addresses)
    }

    pub(crate) fn variables(&self, settings: &[(&str, &str)]) -> HashMap<String, String> {
        let mut variables = self.settings.clone();
        variables.extend(settings.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        variables
    }

    /// A command of the operator's, beside the running processes.
    pub(crate) fn operator(&self, program: &str, arguments: &[&str]) -> String {
        servers::run(service_process::command(program, &self.variables(&[])).args(arguments))
    }

    /// A fault and its repair under load, and everything that must hold afterwards.
    pub(crate) async fn survives(mut self, name: &str, may: Allowed, fault: impl AsyncFnOnce(&mut Self)) {
        let form = form();
        let listener = Listener::bind(&self).await;
        let user_load = UserLoad::new(self.addresses.clone(), Arc::clone(&self.mail_server), self.history.clone());
        let load = Load::begin(user_load);
        let began = Instant::now();
        sleep(form.before).await;
        servers::until("somebody has a mail", async || self.history.somebody_is_mailed()).await;
        let struck = Instant::now();
        fault(&mut self).await;
        let repaired = Instant::now();
        sleep(form.settle).await;
        let before = checker::prompt(&self.history, began, struck - EVE);
        let after = self.after(form.after, before).await;
        load.end().await;

        let left_over = queues::come_to_rest(&self, may.park).await;
        let mut report = checker::check(&self.history, &self.client().await, &self.mail_server.mails()).await;
        report.unexpected.extend(left_over);
        listener.account(&mut report, &self.client().await).await;
        report_table::print(name, &report, report_table::rate(before, after), repaired - struck);
        tolerance::judge(&report, &may);
        tolerance::judge_rate(before, after);
    }

    /// How many have their mail promptly again, and of how many. On a machine that does something else just then too few
    /// may, but not for long: the first span counts in which it is as it was, or the last there is time for.
    async fn after(&self, span: Duration, before: (usize, usize)) -> (usize, usize) {
        let until = Instant::now() + RECOVERY;
        loop {
            let from = Instant::now();
            sleep(span).await;
            let after = checker::when_known(&self.history, from, Instant::now()).await;
            if tolerance::is_as_before(before, after) || Instant::now() > until {
                return after;
            }
        }
    }

    /// How many messages wait for the broker.
    pub(crate) async fn outbox(&self) -> i64 {
        self.client().await.query_one("SELECT count(*) FROM outbox", &[]).await.unwrap().get(0)
    }

    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database_url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}
