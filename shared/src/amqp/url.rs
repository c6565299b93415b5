//! What AMQP_URL says: the hosts of one cluster, and how to speak to them.

use anyhow::{Context, Result, ensure};
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

/// Whether this can be AMQP_URL at all.
pub fn check(url: &SecretString, production: bool) -> Result<()> {
    // Without a login in it, it is guest:guest.
    let everybody_knows = |host: &AMQPUri| host.authority.userinfo.username == host.authority.userinfo.password;
    ensure!(!parse(url)?.iter().any(everybody_knows) || !production, "AMQP_URL holds a login that everybody knows");
    Ok(())
}

/// One for each host, as in `amqp://user:password@one:5672,two/%2f`. The error does not repeat what was
/// given, for it holds a password.
pub(super) fn parse(url: &SecretString) -> Result<Vec<AMQPUri>> {
    let bad = || "AMQP_URL is not like amqp://user:password@host:5672/%2f, or with host:5672,host:5672 of one cluster";
    let (scheme, rest) = url.expose_secret().split_once("://").with_context(bad)?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let parse_one = |host: &str| {
        let one: Result<AMQPUri, _> = format!("{scheme}://{login}{host}{tail}").parse();
        let mut one = one.ok().filter(|_| !host.is_empty()).with_context(bad)?;
        // lapin takes an address in brackets for no host at all, and goes to localhost.
        if let Some((v6, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            v6.clone_into(&mut one.authority.host);
        }
        // A broker that is gone without a word must be noticed: beat every ten seconds unless the URL says else.
        one.query.heartbeat.get_or_insert(10);
        Ok(one)
    };
    hosts.split(',').map(parse_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        let hosts = parse(&url.to_owned().into()).unwrap();
        hosts.into_iter().map(|host| (host.authority.host, host.authority.port)).collect()
    }

    fn one(host: &str, port: u16) -> (String, u16) {
        (host.to_owned(), port)
    }

    #[test]
    fn a_url_may_name_several_hosts() {
        assert_eq!(hosts("amqp://u:p@one/%2f"), [one("one", 5672)]);
        assert_eq!(hosts("amqp://one:7,two,three"), [one("one", 7), one("two", 5672), one("three", 5672)]);
        assert_eq!(hosts("amqps://u:p@one,two:7/%2f"), [one("one", 5671), one("two", 7)]);
        assert_eq!(
            hosts("amqp://u:p@[::1],[2001:db8::2]:7,10.0.0.3"),
            [one("::1", 5672), one("2001:db8::2", 7), one("10.0.0.3", 5672)]
        );
    }

    #[test]
    fn what_else_a_url_says_is_said_to_each_host() {
        let url = "amqp://u:p,a@one:7,two/v,h?heartbeat=3&frame_max=8192";
        for host in parse(&url.to_owned().into()).unwrap() {
            let (login, query) = (&host.authority.userinfo, &host.query);
            assert_eq!((login.username.as_str(), login.password.as_str(), host.vhost.as_str()), ("u", "p,a", "v,h"));
            assert_eq!((query.heartbeat, query.frame_max), (Some(3), Some(8192)));
        }
        let beats = |url: &str| parse(&url.to_owned().into()).unwrap()[0].query.heartbeat;
        assert_eq!((beats("amqp://h"), beats("amqp://h/heartbeat=?heartbeat=0")), (Some(10), Some(0)));
    }

    #[test]
    fn a_bad_url_is_refused_without_being_repeated() {
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
            let error = format!("{:#}", check(&url.to_owned().into(), false).expect_err(url));
            assert!(error.starts_with("AMQP_URL is not like") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn production_refuses_a_login_that_everybody_knows() {
        for (url, fit) in
            [("u:p@one,two", true), ("guest:guest@one,two", false), ("one,two", false), ("u:%75@one", false)]
        {
            let url = format!("amqp://{url}/%2f").into();
            assert!(check(&url, false).is_ok());
            assert_eq!(check(&url, true).is_ok(), fit, "{}", url.expose_secret());
        }
    }
}
