//! Parses and checks `AMQP_URL`, which can name several hosts of one cluster.

use anyhow::{Context, Result};
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

use crate::config::environment::Environment;

/// Checks the format of the URL and, in production, rejects a well-known login.
pub fn check(url: &SecretString, environment: Environment) -> Result<()> {
    // A URL without a login means guest:guest.
    parse(url)?
        .iter()
        .map(|host| &host.authority.userinfo)
        .try_for_each(|login| environment.check_login("AMQP_URL", &login.username, &login.password))
}

/// Splits a URL such as `amqp://user:password@one:5672,two/%2f` into one for each host. The error does not contain the
/// URL, because it contains a password.
pub(super) fn parse(url: &SecretString) -> Result<Vec<AMQPUri>> {
    let invalid =
        || "AMQP_URL is not like amqp://user:password@host:5672/%2f, or with host:5672,host:5672 of one cluster";
    let (scheme, rest) = url.expose_secret().split_once("://").with_context(invalid)?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let parse_host = |host: &str| {
        let uri: Result<AMQPUri, _> = format!("{scheme}://{login}{host}{tail}").parse();
        let mut uri = uri.ok().filter(|_| !host.is_empty()).with_context(invalid)?;
        // lapin does not parse an IPv6 address in brackets and connects to localhost instead.
        if let Some((v6, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            v6.clone_into(&mut uri.authority.host);
        }
        // Heartbeats detect a broker that vanished without closing the connection: every 10 s unless the URL sets
        // another value.
        uri.query.heartbeat.get_or_insert(10);
        Ok(uri)
    };
    hosts.split(',').map(parse_host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        let hosts = parse(&url.to_owned().into()).unwrap();
        hosts.into_iter().map(|host| (host.authority.host, host.authority.port)).collect()
    }

    fn host(host: &str, port: u16) -> (String, u16) {
        (host.to_owned(), port)
    }

    #[test]
    fn url_can_name_several_hosts() {
        assert_eq!(hosts("amqp://u:p@one/%2f"), [host("one", 5672)]);
        assert_eq!(hosts("amqp://one:7,two,three"), [host("one", 7), host("two", 5672), host("three", 5672)]);
        assert_eq!(hosts("amqps://u:p@one,two:7/%2f"), [host("one", 5671), host("two", 7)]);
        assert_eq!(
            hosts("amqp://u:p@[::1],[2001:db8::2]:7,10.0.0.3"),
            [host("::1", 5672), host("2001:db8::2", 7), host("10.0.0.3", 5672)]
        );
    }

    #[test]
    fn other_parts_of_the_url_apply_to_each_host() {
        let url = "amqp://u:p,a@one:7,two/v,h?heartbeat=3&frame_max=8192";
        for host in parse(&url.to_owned().into()).unwrap() {
            let (login, query) = (&host.authority.userinfo, &host.query);
            assert_eq!((login.username.as_str(), login.password.as_str(), host.vhost.as_str()), ("u", "p,a", "v,h"));
            assert_eq!((query.heartbeat, query.frame_max), (Some(3), Some(8192)));
        }
        let heartbeat = |url: &str| parse(&url.to_owned().into()).unwrap()[0].query.heartbeat;
        assert_eq!((heartbeat("amqp://h"), heartbeat("amqp://h/heartbeat=?heartbeat=0")), (Some(10), Some(0)));
    }

    #[test]
    fn invalid_url_is_rejected_without_being_repeated() {
        for url in [
            "garbage",
            "http://u:hunter2@one",
            "amqp://u:hunter2@",
            "amqp://u:hunter2@one,,three/%2f",
            "amqp://u:hunter2@one,two:port",
            "amqp://u:hunter2@one,[::2/%2f",
            "amqp://u:hunter2@one two",
            "amqp://u:hunter2@one,two?heartbeat=often",
            "amqp://u:hunter2/x@one",
        ] {
            let error = format!("{:#}", check(&url.to_owned().into(), Environment::default()).expect_err(url));
            assert!(error.starts_with("AMQP_URL is not like") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn production_rejects_a_well_known_login() {
        let production = Environment::parse("production", "").unwrap();
        for (url, is_allowed) in [
            ("u:p@one,two", true),
            ("guest:guest@one,two", false),
            ("one,two", false),
            ("u:%75@one", false),
            ("u:%47uest@one", false),
        ] {
            let url = format!("amqp://{url}/%2f").into();
            assert!(check(&url, Environment::default()).is_ok());
            assert_eq!(check(&url, production).is_ok(), is_allowed, "{}", url.expose_secret());
        }
    }
}
