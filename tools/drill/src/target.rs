//! Which instance is attacked: one on this machine, unless it was said twice that another is meant.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use reqwest::Url;

#[derive(Clone, Debug)]
pub struct Target {
    /// Without a slash at its end.
    base: String,
    /// `None`: a name that only the resolver knows.
    ip: Option<IpAddr>,
}

/// The one name that means this machine; it is never looked up.
pub(crate) const LOCALHOST: (&str, [IpAddr; 2]) =
    ("localhost", [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);

impl Target {
    pub(crate) fn parse(given: &str, told_twice: bool) -> Result<Self, String> {
        let url = Url::parse(given).map_err(|_| format!("{given} is not a URL like http://localhost:8000"))?;
        if url.scheme() != "http" {
            return Err("the drill speaks plain http only: aim it at the API itself, behind its TLS proxy".into());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("a target is scheme, host, port and path, nothing else".into());
        }
        let host = url.host_str().unwrap_or_default();
        let ip = match host.trim_matches(['[', ']']).parse() {
            _ if host == LOCALHOST.0 => Some(LOCALHOST.1[0]),
            parsed => parsed.ok(),
        };
        if !told_twice && !ip.is_some_and(|ip| ip.is_loopback()) {
            return Err(format!(
                "{host} is not this machine: an attack on anything but localhost, 127.0.0.0/8 or [::1] must be \
                 told twice, with --i-own-this and --really-attack-it"
            ));
        }
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), ip })
    }

    /// Whether requests to it may come from any address in 127.0.0.0/8.
    pub(crate) fn is_ipv4_loopback(&self) -> bool {
        self.ip.is_some_and(|ip| ip.is_ipv4() && ip.is_loopback())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_may_be_attacked() {
        for url in ["http://127.0.0.1:8000", "http://127.8.9.10/", "http://[::1]:8000", "http://localhost:8000/app/"] {
            assert!(Target::parse(url, false).is_ok(), "{url}");
        }
        assert_eq!(
            Target::parse("http://LOCALHOST:8000/app/", false).unwrap().to_string(),
            "http://localhost:8000/app"
        );
    }

    #[test]
    fn anything_else_must_be_told_twice() {
        for host in [
            "127.0.0.1.nip.io",
            "example.com",
            "0.0.0.0",
            "10.0.0.1",
            "localhost.example.com",
            "localhost.",
            "[::]",
            "[::ffff:10.0.0.1]",
            "[fe80::1]",
        ] {
            let url = format!("http://{host}:8000");
            assert!(Target::parse(&url, false).unwrap_err().contains("told twice"), "{url}");
            assert!(Target::parse(&url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_however_often_it_is_told() {
        for url in
            ["", "localhost:8000", "https://localhost", "http://a:b@localhost", "http://localhost?x", "ftp://localhost"]
        {
            assert!(Target::parse(url, true).is_err(), "{url}");
        }
    }
}
