//! Connects to a database with several hosts, such as a primary and its standby.
//!
//! The hosts are tried in turn, and each has a share of the connect timeout, so that an unresponsive host does not
//! block the next one. (The driver also tries hosts in turn, but waits forever for one that accepts the connection and
//! sends nothing.)

use std::{
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use deadpool_postgres::Connect;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_postgres::{Client, Config, Connection, Error, config::TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Splits a URL with several hosts into one URL for each host. A URL that does not name its hosts before the path is
/// returned as it is, for the driver to interpret.
pub(super) fn split(url: &str) -> Vec<String> {
    let whole = || vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{tail}")).collect()
}

/// The hosts of a database; a connector for the pool.
pub(super) struct Hosts {
    /// One configuration for each host.
    pub(super) configs: Vec<Config>,
    pub(super) tls: MakeRustlsConnect,
    /// For all hosts together.
    pub(super) connect_timeout: Duration,
    /// The index of the host that accepted the last connection; it is tried first.
    pub(super) last_connected: AtomicUsize,
}

/// A client and the task that drives its connection.
type Connected = Result<(Client, JoinHandle<()>), Error>;

impl Connect for Hosts {
    fn connect(&self, _: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        Box::pin(self.connect_to_any())
    }
}

impl Hosts {
    async fn connect_to_any(&self) -> Connected {
        let count = self.configs.len();
        let first = self.last_connected.load(Relaxed);
        let timeout_per_host = self.connect_timeout / u32::try_from(count).unwrap_or(1);
        let mut last_error = None;
        for index in (first..first + count).map(|index| index % count) {
            match tokio::time::timeout(timeout_per_host, self.connect_to_one(&self.configs[index])).await {
                Ok(Ok(connected)) => {
                    self.last_connected.store(index, Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => last_error = Some(error),
                Err(_elapsed) => {}
            }
        }
        // If all hosts timed out, the create timeout of the pool has passed as well and reports it.
        match last_error {
            Some(error) => Err(error),
            None => pending().await,
        }
    }

    async fn connect_to_one(&self, host: &Config) -> Connected {
        let (client, connection) = host.connect(self.tls.clone()).await?;
        let must_be_writable = host.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        Ok((client, tokio::spawn(drive(connection, must_be_writable))))
    }
}

/// Drives a connection until it ends. One that must be writable ends when the server reports that it accepts no writes any
/// more, because another one is the primary now; the pool then opens a new one. (The driver of Postgres checks that only
/// when it connects.) Servers report it since Postgres 14, with their next response.
async fn drive<S, T>(mut connection: Connection<S, T>, must_be_writable: bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let ended = poll_fn(|context| match Pin::new(&mut connection).poll(context) {
        Poll::Pending if must_be_writable && is_read_only(&connection) => Poll::Ready(Ok(false)),
        polled => polled.map_ok(|()| true),
    });
    match ended.await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("postgres accepts no writes any more; closing the connection"),
        Err(error) => tracing::warn!(%error, "postgres connection failed"),
    }
}

/// Whether the server has reported that it accepts no writes.
fn is_read_only<S, T>(connection: &Connection<S, T>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    ["default_transaction_read_only", "in_hot_standby"].iter().any(|name| connection.parameter(name) == Some("on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_with_several_hosts_is_split() {
        let urls = split("postgres://u:p%40@a:1,b,[::1]:3/d?x=y,z");
        assert_eq!(urls, ["a:1", "b", "[::1]:3"].map(|host| format!("postgres://u:p%40@{host}/d?x=y,z")));
        assert_eq!(split("postgres://a,b"), ["postgres://a", "postgres://b"]);
    }

    #[test]
    fn other_urls_are_left_unchanged() {
        for url in ["host=a,b user=u", "postgres://u@/d?host=a,b", "postgres://u@h/d", ""] {
            assert_eq!(split(url), [url]);
        }
    }
}
