//! What kind of mail server the mail_server is.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    #[default]
    Plain,
    StartTls,
    Implicit,
}

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub protection: Protection,
    /// User and password that AUTH has to give before any MAIL.
    pub login: Option<(&'static str, &'static str)>,
    pub mechanisms: &'static str,
    pub certificate_for: &'static str,
    /// Whether it says that it takes several commands at once (RFC 2920), as most servers do.
    pub pipelining: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            protection: Protection::Plain,
            login: None,
            mechanisms: "PLAIN LOGIN",
            certificate_for: "127.0.0.1",
            pipelining: true,
        }
    }
}
