//! The embedded Postgres: a server in this process, for one connection.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use oliphaunt_wasix::{DatabaseStorage, OliphauntServer, ServerListen};
use tempfile::TempDir;

use crate::data::temporary_folder;

pub(crate) struct Embedded {
    server: OliphauntServer,
    /// The way to the server, which asks nobody for a password: a socket where only its owner may go.
    _socket: TempDir,
}

impl Embedded {
    /// Takes half a second when the folder is new. A folder that it does not understand is left as it is.
    pub(crate) async fn start(folder: PathBuf) -> Result<Self> {
        tokio::task::spawn_blocking(move || open(&folder)).await?
    }

    /// A connection is a Postgres that starts: half a second's work, on a busy machine many seconds'.
    pub(crate) fn url(&self) -> String {
        format!("{}&connect_timeout=120", self.server.connection_string())
    }

    /// Everything that was committed is with the operating system when this returns.
    pub(crate) async fn close(mut self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.server.close()).await?.context("the embedded database")
    }
}

fn open(folder: &Path) -> Result<Embedded> {
    let socket = temporary_folder()?;
    let server = OliphauntServer::builder()
        .storage(DatabaseStorage::Directory(folder.to_owned()))
        .listen(ServerListen::unix(socket.path()))
        .start();
    match server {
        Ok(server) => Ok(Embedded { server, _socket: socket }),
        Err(error) => Err(damaged(folder, &error.to_string())),
    }
}

/// What to say of a database that does not start. Postgres has its reasons in its second fatal line: the first only says that it failed.
pub(crate) fn damaged(folder: &Path, error: &str) -> anyhow::Error {
    let said =
        |line: &str| Some(line.split_once("FATAL: ").or_else(|| line.split_once("PANIC: "))?.1.trim().to_owned());
    let reasons: Vec<_> = error.lines().filter_map(said).collect();
    let first = error.lines().next().unwrap_or_default();
    let reason = reasons.get(1).or(reasons.first()).map_or(first, String::as_str);
    anyhow!(
        "the database in {} cannot be opened: {reason}. Nothing was changed: move it away, with the secrets beside \
         it, to start anew, or name another folder with --data",
        folder.display()
    )
}
