//! The instance under attack: one on this machine, unless both confirmation options are given.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use reqwest::Url;

/// The base URL of the instance.
#[derive(Clone, Debug)]
pub struct Target {
    /// Without a trailing slash.
    base: String,
    /// `None` for a host name that DNS resolves.
    ip: Option<IpAddr>,
}

/// The only host name that counts as this machine, with its addresses. It is never resolved.
pub(crate) const LOCALHOST: (&str, [IpAddr; 2]) =
    ("localhost", [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);

impl Target {
    /// Parses the URL. `is_confirmed`: both options that allow a target on another machine are given.
    pub(crate) fn parse(url: &str, is_confirmed: bool) -> Result<Self, String> {
        let url =
            Url::parse(url).map_err(|_| format!("'{url}' is not a URL; expected for example http://localhost:8000"))?;
        if url.scheme() != "http" {
            return Err("the drill supports plain http only; use the address of the API behind its TLS proxy".into());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("the URL must consist of scheme, host, port and path only".into());
        }
        let host = url.host_str().unwrap_or_default();
        let ip = match host.trim_matches(['[', ']']).parse() {
            _ if host == LOCALHOST.0 => Some(LOCALHOST.1[0]),
            parsed => parsed.ok(),
        };
        if !is_confirmed && !ip.is_some_and(|ip| ip.is_loopback()) {
            return Err(format!(
                "{host} is not this machine; an attack on anything but localhost, 127.0.0.0/8 or [::1] must be \
                 confirmed with both --i-own-this and --really-attack-it"
            ));
        }
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), ip })
    }

    /// Whether requests to the target can be sent from any address in 127.0.0.0/8.
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
    fn loopback_needs_no_confirmation() {
        for url in ["http://127.0.0.1:8000", "http://127.8.9.10/", "http://[::1]:8000", "http://localhost:8000/app/"] {
            assert!(Target::parse(url, false).is_ok(), "{url}");
        }
        assert_eq!(
            Target::parse("http://LOCALHOST:8000/app/", false).unwrap().to_string(),
            "http://localhost:8000/app"
        );
    }

    #[test]
    fn any_other_host_needs_confirmation() {
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
            assert!(Target::parse(&url, false).unwrap_err().contains("confirmed with both"), "{url}");
            assert!(Target::parse(&url, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn invalid_urls_are_rejected_even_if_confirmed() {
        for url in
            ["", "localhost:8000", "https://localhost", "http://a:b@localhost", "http://localhost?x", "ftp://localhost"]
        {
            assert!(Target::parse(url, true).is_err(), "{url}");
        }
    }
}
