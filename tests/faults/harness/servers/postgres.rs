//! A Postgres server that a test may kill, and a standby that can be promoted.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

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
        let home = temporary_home("postgres");
        let mut copy = postgres_command("pg_basebackup", home.path());
        copy.env("PGPASSWORD", PASSWORD).arg("--write-recovery-conf").arg("--no-sync").arg("--checkpoint=fast");
        run(copy.arg("--dbname").arg(primary.url()).arg("--pgdata").arg(home.path().join("data")));
        let mut standby = Self { home, port: free_port(), server: None };
        standby.restart().await;
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
        let mut postgres = postgres_command("postgres", self.home.path());
        postgres.arg("-D").arg(self.home.path().join("data"));
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100", "timezone=UTC"]
        {
            postgres.args(["-c", setting]);
        }
        postgres.args(["-c", &format!("port={}", self.port)]);
        self.server = Some(ServerProcess::start(postgres, &self.home.path().join("log")));
        wait_until("Postgres accepts connections", async || self.connect().await.is_ok()).await;
    }

    /// Makes a standby the primary.
    pub(crate) async fn promote(&self) {
        self.connect().await.unwrap().query_one("SELECT pg_promote()", &[]).await.unwrap();
    }

    async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
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
