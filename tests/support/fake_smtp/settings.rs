//! The settings of a fake SMTP server.

/// Transport security.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    #[default]
    Plain,
    /// STARTTLS is offered.
    StartTls,
    /// TLS from the first byte (`smtps`).
    Implicit,
}

/// What the server offers and requires.
#[derive(Clone, Copy, Debug)]
pub struct FakeSmtpSettings {
    pub protection: Protection,
    /// User and password that AUTH must give before MAIL.
    pub login: Option<(&'static str, &'static str)>,
    /// The AUTH mechanisms that it offers.
    pub mechanisms: &'static str,
    /// The host name of the certificate.
    pub certificate_for: &'static str,
    /// Whether it offers PIPELINING (RFC 2920), as most servers do.
    pub pipelining: bool,
}

impl Default for FakeSmtpSettings {
    fn default() -> FakeSmtpSettings {
        FakeSmtpSettings {
            protection: Protection::Plain,
            login: None,
            mechanisms: "PLAIN LOGIN",
            certificate_for: "127.0.0.1",
            pipelining: true,
        }
    }
}
