//! A Postgres server that a test may kill, and a standby that can be promoted.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{ServerProcess, command, free_port, run, temporary_home, wait_until};

const PASSWORD: &str = "faults";

/// A Postgres server with its data folder.
pub(crate) struct Postgres {
    home: TempDir,
    port: u16,
    server: Option<ServerProcess>,
}

impl Postgres {
    /// Initialises a data folder, starts the server and waits until it accepts connections.
    pub(crate) async fn start() -> Self {
        let home = temporary_home("postgres");
        let password = home.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let mut initdb = postgres_command("initdb", home.path());
        initdb.args(["--username=vestibule", "--auth=password", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        run(initdb.arg("--pgdata").arg(home.path().join("data")).arg("--pwfile").arg(password));
        let mut postgres = Self { home, port: free_port(), server: None };
        postgres.restart().await;
        postgres
    }

    /// Starts a synchronous standby of this primary, which from then on waits for the standby at each commit.
    pub(crate) async fn standby_of(primary: &Self) -> Self {
        let standby = Self::asynchronous_standby_of(&primary.url()).await;
        let client = primary.connect().await.unwrap();
        client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        wait_until("the standby follows", async || {
            client.query_one(synchronous, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        standby
    }

    /// Starts a standby that follows the primary at this URL. The primary does not wait for it.
    pub(crate) async fn asynchronous_standby_of(primary_url: &str) -> Self {
        let home = temporary_home("postgres");
        let mut copy = postgres_command("pg_basebackup", home.path());
        copy.env("PGPASSWORD", PASSWORD).arg("--write-recovery-conf").arg("--no-sync").arg("--checkpoint=fast");
        run(copy.arg("--dbname").arg(primary_url).arg("--pgdata").arg(home.path().join("data")));
        let mut standby = Self { home, port: free_port(), server: None };
        standby.restart().await;
        standby
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The `DATABASE_URL` of this server.
    pub(crate) fn url(&self) -> String {
        format!("postgres://vestibule:{PASSWORD}@{}/postgres", self.authority())
    }

    /// Immediate shutdown: all processes of the server abort, as in a crash.
    pub(crate) fn crash(&mut self) {
        let server = self.server.take().unwrap();
        server.signal(Signal::QUIT);
        server.wait();
    }

    /// Fast shutdown, as an operator does it: clients are disconnected.
    pub(crate) fn stop(&mut self) {
        let server = self.server.take().unwrap();
        server.signal(Signal::INT);
        server.wait();
    }

    /// Starts the server, and waits until it accepts connections.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// Starts a former primary so that it accepts no writes, and waits until it accepts connections.
    pub(crate) async fn restart_read_only(&mut self) {
        self.restart_with(&["default_transaction_read_only=on"]).await;
    }

    async fn restart_with(&mut self, settings: &[&str]) {
        let mut postgres = postgres_command("postgres", self.home.path());
        postgres.arg("-D").arg(self.home.path().join("data"));
        let always = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100", "timezone=UTC"];
        for setting in always.iter().chain(settings) {
            postgres.args(["-c", setting]);
        }
        postgres.args(["-c", &format!("port={}", self.port)]);
        self.server = Some(ServerProcess::start(postgres, &self.home.path().join("log")));
        wait_until("Postgres accepts connections", async || self.connect().await.is_ok()).await;
    }

    /// Waits until the standby of this primary has reported that it replayed everything that was committed before now, and
    /// returns that moment.
    pub(crate) async fn wait_until_replicated(&self) -> Instant {
        let client = self.connect().await.unwrap();
        let until = Instant::now();
        let position: String = client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
        let replayed = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= $1::text::pg_lsn";
        wait_until("the standby has caught up", async || {
            client.query_one(replayed, &[&position]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        until
    }

    /// How far the standby is behind, as this primary reports it.
    pub(crate) async fn replication_lag_bytes(&self) -> i64 {
        let lag = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), replay_lsn)::bigint FROM pg_stat_replication";
        self.connect().await.unwrap().query_one(lag, &[]).await.unwrap().get(0)
    }

    /// Waits until this standby has replayed everything that it received.
    pub(crate) async fn wait_until_replayed(&self) {
        let client = self.connect().await.unwrap();
        let replayed = "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()";
        wait_until("the standby has replayed", async || client.query_one(replayed, &[]).await.unwrap().get(0)).await;
    }

    /// Makes later transactions read-only, without closing a connection, and waits until the earlier ones have ended.
    pub(crate) async fn refuse_writes(&self) {
        let client = self.connect().await.unwrap();
        client.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        let transactions = "SELECT (SELECT current_setting('transaction_read_only') = 'on') \
            AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_xid IS NOT NULL)";
        let refuses = async || client.query_one(transactions, &[]).await.unwrap().get(0);
        wait_until("the primary accepts no writes", refuses).await;
    }

    /// Commits this number of empty transactions.
    pub(crate) async fn use_transaction_ids(&self, count: u32) {
        let commit_each =
            format!("DO $$ BEGIN FOR n IN 1..{count} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
        let client = self.connect().await.unwrap();
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
        client.batch_execute(&commit_each).await.unwrap();
    }

    /// Makes a standby the primary.
    pub(crate) async fn promote(&self) {
        self.connect().await.unwrap().query_one("SELECT pg_promote()", &[]).await.unwrap();
    }

    /// A new connection to this server.
    pub(crate) async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// A command of the Postgres installation, run as the user postgres.
fn postgres_command(name: &str, home: &Path) -> std::process::Command {
    command(binaries().join(name), "postgres", home)
}

/// The folder of the newest Debian package; empty to search the PATH.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.max_by_key(|version| version.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    newest.map(|version| version.path().join("bin")).unwrap_or_default()
}
