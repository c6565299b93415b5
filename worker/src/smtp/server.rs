//! The mail server SMTP_URL names: where it is, how the way there is protected, who we say we are.

use std::{fmt, time::Duration};

use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use url::Url;

use super::tls;

pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    /// What we call ourselves, if not by our address.
    pub(crate) hello: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) timeouts: Timeouts,
}

/// `smtp://` is plain text, `smtp://…?tls=required` is STARTTLS or nothing, `smtps://` is TLS from
/// the first byte. TLS "if offered" is not among them: it protects from nobody who can answer.
pub(crate) enum Security {
    Plain,
    StartTls(Tls),
    Implicit(Tls),
}

#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

/// How long the server may take for each step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) step: Duration,
    /// From the final dot to its reply: many servers scan the mail here.
    pub(crate) dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(5), step: Duration::from_secs(20), dot: Duration::from_secs(60) }
    }
}

impl Server {
    /// Whether everybody on the way could read the login.
    pub(crate) fn shows_credentials(&self) -> bool {
        self.credentials.is_some() && matches!(self.security, Security::Plain)
    }

    /// The errors say what is wrong with the URL without showing any of it: it holds a password.
    pub(crate) fn parse(url: &str) -> Result<Server, String> {
        let url = Url::parse(url).map_err(|_| {
            "is not a URL like smtp://user:password@host:port; \
             special characters in user and password must be percent-encoded"
        })?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err("has something after the port; percent-encode / ? # in user and password".into());
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err("names no host".into());
        }
        let query = Query::of(&url)?;
        let security = match (url.scheme(), query.tls_required) {
            ("smtps", _) => Security::Implicit(Tls::new(&host, query.ca.as_deref())?),
            ("smtp", true) => Security::StartTls(Tls::new(&host, query.ca.as_deref())?),
            ("smtp", false) if query.ca.is_some() => {
                return Err("has ca= but neither smtps:// nor tls=required".into());
            }
            ("smtp", false) => Security::Plain,
            _ => return Err("must begin with smtp:// or smtps://".into()),
        };
        let port = url.port().unwrap_or(if url.scheme() == "smtps" { 465 } else { 25 });
        let credentials = credentials(&url)?;
        Ok(Server { host, port, security, hello: query.hello, credentials, timeouts: Timeouts::default() })
    }
}

impl Tls {
    fn new(host: &str, ca: Option<&str>) -> Result<Tls, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| "names a host no certificate can be for")?;
        Ok(Tls { connector: tls::connector(ca)?, name })
    }
}

/// The parameters we know; anything else is more likely a slip than a wish.
struct Query {
    tls_required: bool,
    ca: Option<String>,
    hello: Option<String>,
}

impl Query {
    fn of(url: &Url) -> Result<Query, String> {
        let mut query = Query { tls_required: false, ca: None, hello: None };
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("tls", "required") => query.tls_required = true,
                ("tls", _) => return Err("has a tls= that is not tls=required".into()),
                ("ca", "") => return Err("has an empty ca=".into()),
                ("ca", path) => query.ca = Some(path.to_owned()),
                ("hello", name) if is_host_name(name) => query.hello = Some(name.to_owned()),
                ("hello", _) => return Err("has a hello= that is not the name of a host".into()),
                _ => return Err("has a parameter that is none of tls=, ca= and hello=".into()),
            }
        }
        Ok(query)
    }
}

fn is_host_name(name: &str) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    name.len() <= 253 && name.split('.').all(label)
}

fn credentials(url: &Url) -> Result<Option<Credentials>, String> {
    let decode = |text| match percent_decode_str(text).decode_utf8() {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err("has a user or password that is not percent-encoded UTF-8 text"),
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", _) | (_, None) => Err("has only one of user and password".into()),
        (user, Some(password)) => Ok(Some(Credentials::new(decode(user)?, decode(password)?))),
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("security", &self.security)
            .field("login", &self.credentials.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Security::Plain => "plain",
            Security::StartTls(_) => "STARTTLS",
            Security::Implicit(_) => "TLS",
        })
    }
}

#[cfg(test)]
mod tests;
