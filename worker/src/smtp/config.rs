//! Parses `SMTP_URL`: host, port, TLS mode, credentials and the name that is sent in EHLO.

use std::{fmt, net::IpAddr, time::Duration};

use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use url::Url;

use super::tls;

/// How to reach the mail server and how to log in.
pub(crate) struct SmtpConfig {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    /// The client's name in EHLO; without one its address is sent.
    pub(crate) ehlo_name: Option<String>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) timeouts: Timeouts,
}

/// The TLS mode: `smtp://` is plain text, `smtp://…?tls=required` requires STARTTLS, `smtps://` is TLS from the first
/// byte. Opportunistic TLS ("if offered") is not supported: it does not protect against an attacker who can modify
/// replies.
pub(crate) enum Security {
    Plain,
    StartTls(TlsSettings),
    Implicit(TlsSettings),
}

/// What a TLS handshake needs.
#[derive(Clone)]
pub(crate) struct TlsSettings {
    pub(crate) connector: TlsConnector,
    pub(crate) server_name: ServerName<'static>,
}

/// How long the mail server may take for each step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) step: Duration,
    /// From the final dot to its reply: many servers scan the mail in this time.
    pub(crate) end_of_data: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(5),
            step: Duration::from_secs(20),
            end_of_data: Duration::from_secs(60),
        }
    }
}

impl SmtpConfig {
    /// Whether mails and credentials leave this machine unencrypted.
    pub(crate) fn sends_plain_text_to_another_host(&self) -> bool {
        let is_local = self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        matches!(self.security, Security::Plain) && !is_local
    }

    /// Whether this is, by its name or port, a mail server for development, which delivers nothing.
    pub(crate) fn is_development_server(&self) -> bool {
        self.port == 1025 || ["maildev", "mailhog", "mailpit"].contains(&self.host.to_lowercase().as_str())
    }

    /// Parses the URL. The error completes a sentence that begins with the setting's name, and contains no part of the
    /// URL, because the URL contains a password.
    pub(crate) fn parse(url: &str) -> Result<SmtpConfig, String> {
        let url = Url::parse(url).map_err(|_| {
            "is not a URL like smtp://user:password@host:port; \
             special characters in user and password must be percent-encoded"
        })?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(
                "has a path or a fragment after the port: remove it, and percent-encode / ? # in user and password"
                    .into(),
            );
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err("has no host: use smtp://host or smtps://host".into());
        }
        let parameters = UrlParameters::of(&url)?;
        let security = match (url.scheme(), parameters.tls_required) {
            ("smtps", _) => Security::Implicit(TlsSettings::new(&host, parameters.ca.as_deref())?),
            ("smtp", true) => Security::StartTls(TlsSettings::new(&host, parameters.ca.as_deref())?),
            ("smtp", false) if parameters.ca.is_some() => {
                return Err("has ca= but does not use TLS: use smtps://, or add tls=required".into());
            }
            ("smtp", false) => Security::Plain,
            _ => return Err("must begin with smtp:// or smtps://".into()),
        };
        let port = url.port().unwrap_or(if url.scheme() == "smtps" { 465 } else { 25 });
        let credentials = credentials(&url)?;
        Ok(SmtpConfig {
            host,
            port,
            security,
            ehlo_name: parameters.ehlo_name,
            credentials,
            timeouts: Timeouts::default(),
        })
    }
}

impl TlsSettings {
    fn new(host: &str, ca: Option<&str>) -> Result<TlsSettings, String> {
        let server_name = ServerName::try_from(host.to_owned())
            .map_err(|_| "has a host that cannot have a certificate: use a DNS name or an IP address")?;
        Ok(TlsSettings { connector: tls::connector(ca)?, server_name })
    }
}

/// The known URL parameters. Any other one is rejected, because it is most likely a typing error.
struct UrlParameters {
    tls_required: bool,
    ca: Option<String>,
    ehlo_name: Option<String>,
}

impl UrlParameters {
    fn of(url: &Url) -> Result<UrlParameters, String> {
        let mut parameters = UrlParameters { tls_required: false, ca: None, ehlo_name: None };
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("tls", "required") => parameters.tls_required = true,
                ("tls", _) => return Err("has an unknown value of tls=: use tls=required".into()),
                ("ca", "") => return Err("has an empty ca=: set it to the path of a PEM file".into()),
                ("ca", path) => parameters.ca = Some(path.to_owned()),
                ("hello", name) if is_host_name(name) => parameters.ehlo_name = Some(name.to_owned()),
                ("hello", _) => return Err("has a hello= that is not a host name".into()),
                _ => return Err("has an unknown parameter: use only tls=, ca= and hello=".into()),
            }
        }
        Ok(parameters)
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
        _ => Err("has a user or password that is not valid text: percent-encode it as UTF-8"),
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", _) | (_, None) => Err("has only one of user and password: give both or neither".into()),
        (user, Some(password)) => Ok(Some(Credentials::new(decode(user)?, decode(password)?))),
    }
}

/// Shows no credentials.
impl fmt::Debug for SmtpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpConfig")
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
