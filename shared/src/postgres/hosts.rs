//! A database that has several hosts, as when one follows the other: each is asked in its turn, and none keeps us from
//! the next by its silence. (The driver asks them in turn, too, but waits for ever for one that accepts and says nothing.)

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The same URL for each of its hosts. One that does not name them before its path is left to the driver.
pub(super) fn apart(url: &str) -> Vec<String> {
    let whole = || vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{tail}")).collect()
}

pub(super) struct Hosts {
    pub(super) each: Vec<Config>,
    pub(super) tls: MakeRustlsConnect,
    /// For all of them together.
    pub(super) patience: Duration,
    /// Who answered last: is asked first.
    pub(super) last: AtomicUsize,
}

type Connected = Result<(Client, JoinHandle<()>), Error>;

impl Connect for Hosts {
    fn connect(&self, _: &Config) -> Pin<Box<dyn Future<Output = Connected> + Send + '_>> {
        Box::pin(self.first_that_answers())
    }
}

impl Hosts {
    async fn first_that_answers(&self) -> Connected {
        let (count, first, mut refusal) = (self.each.len(), self.last.load(Relaxed), None);
        let patience = self.patience / u32::try_from(count).unwrap_or(1);
        for at in (first..first + count).map(|turn| turn % count) {
            match tokio::time::timeout(patience, self.ask(&self.each[at])).await {
                Ok(Ok(connected)) => {
                    self.last.store(at, Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => refusal = Some(error),
                Err(_says_nothing) => {}
            }
        }
        // Where all were silent, the pool's own limit is over, too, and says so.
        match refusal {
            Some(error) => Err(error),
            None => pending().await,
        }
    }

    async fn ask(&self, host: &Config) -> Connected {
        let (client, connection) = host.connect(self.tls.clone()).await?;
        let talking = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a connection to Postgres broke");
            }
        });
        Ok((client, talking))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_several_hosts_is_one_for_each() {
        let each = apart("postgres://u:p%40@a:1,b,[::1]:3/d?x=y,z");
        assert_eq!(each, ["a:1", "b", "[::1]:3"].map(|host| format!("postgres://u:p%40@{host}/d?x=y,z")));
        assert_eq!(apart("postgres://a,b"), ["postgres://a", "postgres://b"]);
    }

    #[test]
    fn what_is_no_such_url_stays_as_it_is() {
        for url in ["host=a,b user=u", "postgres://u@/d?host=a,b", "postgres://u@h/d", ""] {
            assert_eq!(apart(url), [url]);
        }
    }
}
