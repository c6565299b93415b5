//! A database for each test, copied from a template that is migrated once.

use std::{future::Future, time::Duration};

use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, types::ToSql};

/// Created by the first running test, dropped by the last one.
static TEMPLATE: Mutex<Template> = Mutex::const_new(Template { users: 0, name: None, password: String::new() });

struct Template {
    /// How many databases were copied from it and still exist.
    users: usize,
    name: Option<String>,
    /// The password of the role that reads and writes rows, which has the name of the template.
    password: String,
}

/// The database of one test, dropped with it.
pub struct Database {
    /// The URL with the login of the role that owns the schema.
    pub url: String,
    /// The URL with the login of a role that reads and writes rows, as API and worker have it in production.
    pub service_url: String,
    name: String,
    from_template: bool,
    client: Client,
}

impl Database {
    /// Creates a database with the current schema.
    pub async fn create() -> Self {
        let name = fresh_name();
        let service_url = {
            let mut template = TEMPLATE.lock().await;
            if template.name.is_none() {
                template.password = random_id();
                template.name = Some(migrated_template(&template.password).await);
            }
            let template_name = template.name.as_deref().unwrap();
            admin(&format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template_name}""#)).await;
            let service_url = service_url(&name, template_name, &template.password);
            template.users += 1;
            service_url
        };
        Self::at(name, service_url, true).await
    }

    /// Creates a database without tables, and without the role of `service_url`: a migration creates both.
    pub async fn create_empty() -> Self {
        let name = fresh_name();
        admin(&format!(r#"CREATE DATABASE "{name}""#)).await;
        let service_url = service_url(&name, &name, &random_id());
        Self::at(name, service_url, false).await
    }

    async fn at(name: String, service_url: String, from_template: bool) -> Self {
        let url = url_of(&name);
        let client = connect(&url).await;
        Self { url, service_url, name, from_template, client }
    }

    /// The URL with a login of its own: `ENVIRONMENT=production` rejects that of .env.example, which the development
    /// servers have. To be called once.
    pub async fn production_url(&self) -> String {
        let (role, password) = (&self.name, random_id());
        let sql = format!(r#"CREATE ROLE "{role}" LOGIN PASSWORD '{password}' IN ROLE CURRENT_USER"#);
        self.client.batch_execute(&sql).await.unwrap();
        with_login(&self.url, role, &password)
    }

    /// The connection of the test.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Executes a statement and returns the number of rows.
    pub async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> u64 {
        self.client.execute(sql, values).await.unwrap()
    }

    /// The first column (bigint) of the only row.
    pub async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Polls until [`Database::count`] returns this result.
    pub async fn wait_for_count(&self, sql: &str, expected: i64) {
        let wait = async {
            while self.count(sql).await != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait)
            .await
            .unwrap_or_else(|_| panic!("did not become {expected}: {sql}"));
    }

    /// Moves all stored times into the past, as if this much time had passed.
    pub async fn age(&self, seconds: i32) {
        let sql = format!(
            "UPDATE registrations SET created_at = created_at - i, activated_at = activated_at - i,
                 closed_at = closed_at - i FROM (VALUES (interval '{seconds} s')) AS t (i);
             UPDATE codes SET created_at = created_at - i, deadline = deadline - i, resend_at = resend_at - i,
                 sent_at = sent_at - i, expires_at = expires_at - i FROM (VALUES (interval '{seconds} s')) AS t (i);
             UPDATE deliveries SET at = at - interval '{seconds} s';
             UPDATE resets SET created_at = created_at - i, deadline = deadline - i, resend_at = resend_at - i,
                 sent_at = sent_at - i, expires_at = expires_at - i FROM (VALUES (interval '{seconds} s')) AS t (i);
             UPDATE password_changes SET changed_at = changed_at - interval '{seconds} s';
             UPDATE sessions SET created_at = created_at - i, expires_at = expires_at - i
                 FROM (VALUES (interval '{seconds} s')) AS t (i);
             UPDATE mutes SET until = until - interval '{seconds} s';
             UPDATE guesses SET last_at = last_at - interval '{seconds} s';
             UPDATE guesses_by_hour SET hour = hour - interval '{seconds} s';
             UPDATE code_attempts SET at = at - interval '{seconds} s';
             UPDATE activations_by_hour SET hour = hour - interval '{seconds} s';
             UPDATE lockouts SET until = until - interval '{seconds} s',
                 failures = ARRAY (SELECT at - interval '{seconds} s' FROM unnest(failures) AS at),
                 pending = ARRAY (SELECT at - interval '{seconds} s' FROM unnest(pending) AS at);
             UPDATE known_networks SET last_at = last_at - interval '{seconds} s';
             UPDATE unlocks SET created_at = created_at - i, opened_at = opened_at - i
                 FROM (VALUES (interval '{seconds} s')) AS t (i);
             UPDATE budgets SET used_at = ARRAY (SELECT at - interval '{seconds} s' FROM unnest(used_at) AS at);"
        );
        self.client.batch_execute(&sql).await.unwrap();
    }

    /// Terminates all connections and rejects new ones.
    pub async fn reject_connections(&self) {
        let name = &self.name;
        admin(&format!(r#"ALTER DATABASE "{name}" ALLOW_CONNECTIONS false"#)).await;
        admin(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        let from_template = self.from_template;
        run_cleanup(async move {
            admin(&format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#)).await;
            admin(&format!(r#"DROP ROLE IF EXISTS "{name}""#)).await;
            let mut template = TEMPLATE.lock().await;
            template.users -= usize::from(from_template);
            if template.users == 0
                && let Some(name) = template.name.take()
            {
                admin(&format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#)).await;
                admin(&format!(r#"DROP ROLE IF EXISTS "{name}""#)).await;
            }
        });
    }
}

/// Runs asynchronous cleanup to its end, from `Drop`, where nothing can be awaited.
pub fn run_cleanup(cleanup: impl Future<Output = ()> + Send + 'static) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = std::thread::spawn(move || runtime().block_on(cleanup)).join();
}

/// The URL of a server: an environment variable that `make test` sets, or the developer for servers of her own.
pub fn server_url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run the tests with `make test`"))
}

/// The login of the Postgres server that may create databases. In the development container `DATABASE_URL` is that of a
/// role that only reads and writes rows.
fn owner_url() -> String {
    match std::env::var("MIGRATE_DATABASE_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => server_url("DATABASE_URL"),
    }
}

/// The URL with another login.
pub fn with_login(url: &str, role: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, host) = rest.split_once('@').unwrap();
    format!("{scheme}://{role}:{password}@{host}")
}

/// The URL with a setting for each session, like `lock_timeout=5s`.
pub fn with_session_setting(url: &str, setting: &str) -> String {
    let separator = match url.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{url}{separator}options=-c%20{}", setting.replace('=', "%3D"))
}

/// Creates a migrated database and the role that reads and writes its rows.
async fn migrated_template(password: &str) -> String {
    let name = format!("vestibule_test_{}_template", std::process::id());
    // A killed run with the same process id, as in a container, may have left it.
    admin(&format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#)).await;
    admin(&format!(r#"CREATE DATABASE "{name}""#)).await;
    let url = url_of(&name);
    let service_url = with_login(&url, &name, password);
    shared::postgres::migrate_as_owner(&url.clone().into(), &service_url.into()).await.unwrap();
    // A copy of the template has no settings of the role. Those of the role itself are in force in every copy.
    let timeouts = "SELECT string_agg(format('ALTER ROLE %I SET %s = %L', rolname, split_part(setting, '=', 1), \
        split_part(setting, '=', 2)), '; ') FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole, \
        unnest(setconfig) AS setting WHERE rolname = $1";
    let owner = connect(&url).await;
    let timeouts: String = owner.query_one(timeouts, &[&name]).await.unwrap().get(0);
    owner.batch_execute(&timeouts).await.unwrap();
    // Tables and sequences that tests create, for triggers that observe the processes.
    let grant = |objects| format!(r#"ALTER DEFAULT PRIVILEGES GRANT ALL ON {objects} TO "{name}";"#);
    owner.batch_execute(&["TABLES", "SEQUENCES"].map(grant).concat()).await.unwrap();
    name
}

/// Migrates as API and worker do at start.
pub async fn migrate(url: &str) -> anyhow::Result<()> {
    shared::postgres::migrate(&shared::postgres::pool(&url.to_owned().into(), 1)?).await
}

fn fresh_name() -> String {
    format!("vestibule_test_{}", random_id())
}

/// A unique suffix for the names of databases, prefixes and queues.
#[expect(clippy::disallowed_methods, reason = "parallel tests need unique names")]
pub fn random_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The server's URL with another database name.
fn url_of(name: &str) -> String {
    with_database(&owner_url(), name)
}

/// The URL of API and worker with another database and login: it may lead through a connection pooler.
fn service_url(name: &str, role: &str, password: &str) -> String {
    with_login(&with_database(&server_url("DATABASE_URL"), name), role, password)
}

fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').unwrap_or((server, ""));
    let base = base.rsplit_once('/').filter(|(host, _)| !host.ends_with('/')).map_or(base, |(host, _)| host);
    format!("{base}/{name}?{query}")
}

/// Executes SQL on the server's default database.
async fn admin(sql: &str) {
    connect(&owner_url()).await.batch_execute(sql).await.unwrap();
}

/// Opens a connection.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("Postgres at DATABASE_URL");
    tokio::spawn(connection);
    client
}
