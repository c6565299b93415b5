//! The embedded Postgres: a server within this process that accepts a single connection.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use oliphaunt_wasix::{DatabaseStorage, OliphauntServer, ServerListen};
use tempfile::TempDir;

use crate::data_folder::temporary_folder;

/// All of it is in use from the start, because a Wasm memory is not shared. The operating system caches the files anyway.
const SHARED_BUFFERS: &str = "16MB";

/// A running embedded database.
pub(crate) struct EmbeddedDatabase {
    server: OliphauntServer,
    /// Contains the socket of the server. The server requires no password, so only the owner may access the folder.
    _socket: TempDir,
}

impl EmbeddedDatabase {
    /// Opens the database in the folder, or creates it in about half a second. A folder that it cannot open is not
    /// changed.
    pub(crate) async fn start(folder: PathBuf) -> Result<Self> {
        tokio::task::spawn_blocking(move || open(&folder)).await?
    }

    /// The value of `DATABASE_URL`. Opening a connection starts a Postgres backend, which takes half a second, or many
    /// seconds on a busy machine; hence the long timeout.
    pub(crate) fn url(&self) -> String {
        format!("{}&connect_timeout=120&{}", self.server.connection_string(), shared::postgres::url_options())
    }

    /// Stops the server. When this returns, all committed data has been handed to the operating system.
    pub(crate) async fn close(mut self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.server.close()).await?.context("cannot stop the embedded database")
    }
}

fn open(folder: &Path) -> Result<EmbeddedDatabase> {
    let socket = temporary_folder()?;
    let server = OliphauntServer::builder()
        .storage(DatabaseStorage::Directory(folder.to_owned()))
        .startup_guc("shared_buffers", SHARED_BUFFERS)
        .listen(ServerListen::unix(socket.path()))
        .start();
    match server {
        Ok(server) => Ok(EmbeddedDatabase { server, _socket: socket }),
        Err(error) => Err(startup_error(folder, &error.to_string())),
    }
}

/// The error for a database that does not start, with the reason from Postgres's output: its second FATAL or PANIC
/// line. The first one only says that the start failed.
pub(crate) fn startup_error(folder: &Path, error: &str) -> anyhow::Error {
    let reason =
        |line: &str| Some(line.split_once("FATAL: ").or_else(|| line.split_once("PANIC: "))?.1.trim().to_owned());
    let reasons: Vec<_> = error.lines().filter_map(reason).collect();
    let first = error.lines().next().unwrap_or_default();
    let reason = reasons.get(1).or(reasons.first()).map_or(first, String::as_str);
    anyhow!(
        "cannot open the database in {}: {reason}. Nothing was changed. To start from scratch, move it and the file \
         secrets next to it away, or choose another folder with --data DIR",
        folder.display()
    )
}
