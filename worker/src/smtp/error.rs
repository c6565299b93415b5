//! SMTP errors: at which step sending failed, and whether the failure is transient or permanent.

use std::{error::Error as _, fmt, io};

use lettre::transport::smtp::Error;

use super::SendOutcome;

/// The steps of sending an email, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Connect,
    Ehlo,
    StartTls,
    Tls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// From the final dot to its reply.
    EndOfData,
}

/// Why an email was not accepted.
#[derive(Debug)]
pub(crate) struct SmtpError {
    step: Step,
    kind: SmtpErrorKind,
}

/// The kind of a failure. Contains only digits of a server's reply, because reply texts often repeat the email address.
#[derive(Debug)]
pub(crate) enum SmtpErrorKind {
    /// The server replied with a 4xx or 5xx code, or another unexpected one.
    Rejected {
        code: u16,
        enhanced: Option<String>,
    },
    TimedOut,
    UntrustedCertificate,
    /// The server does not support a required extension.
    NotOffered,
    /// The connection failed or was closed, or the server sent an invalid reply.
    ConnectionLost(io::ErrorKind),
}

const SERVICE_CLOSING: u16 = 421;
const AUTH_OR_TLS_REQUIRED: u16 = 530;

impl SmtpError {
    /// An error of this kind at this step.
    pub(crate) fn new(step: Step, kind: SmtpErrorKind) -> SmtpError {
        SmtpError { step, kind }
    }

    /// An error of the network connection.
    pub(crate) fn connection_lost(step: Step, error: &io::Error) -> SmtpError {
        SmtpError::new(step, SmtpErrorKind::ConnectionLost(error.kind()))
    }

    /// Converts an error of lettre, and drops the text of the server's reply.
    pub(crate) fn from_lettre(step: Step, error: &Error) -> SmtpError {
        let kind = match error.status() {
            Some(code) => {
                SmtpErrorKind::rejected(code.into(), &error.source().map(ToString::to_string).unwrap_or_default())
            }
            None if error.is_client() => SmtpErrorKind::NotOffered,
            None => SmtpErrorKind::ConnectionLost(io_error_kind(error)),
        };
        SmtpError::new(step, kind)
    }

    /// Whether the connection was lost, or closed by the server (421), before the server could have accepted the email,
    /// so that sending it again over another connection cannot deliver it twice.
    pub(crate) fn is_lost_before_end_of_data(&self) -> bool {
        let is_lost = match self.kind {
            SmtpErrorKind::ConnectionLost(_) => true,
            SmtpErrorKind::Rejected { code, .. } => code == SERVICE_CLOSING,
            _ => false,
        };
        is_lost && self.step < Step::EndOfData
    }

    /// The metric label of the error: the class of the reply to the email, or why there was none. A rejection before
    /// MAIL is not about the email and counts as `connection`.
    pub(crate) fn class(&self) -> &'static str {
        match self.kind {
            SmtpErrorKind::Rejected { .. } if !self.rejects_the_email() => "connection",
            SmtpErrorKind::Rejected { code: 500.., .. } => "5xx",
            SmtpErrorKind::Rejected { .. } => "4xx",
            SmtpErrorKind::TimedOut => "timeout",
            SmtpErrorKind::UntrustedCertificate | SmtpErrorKind::NotOffered | SmtpErrorKind::ConnectionLost(_) => {
                "connection"
            }
        }
    }

    /// Whether the server is reachable and rejected this email.
    pub(crate) fn rejects_the_email(&self) -> bool {
        matches!(self.kind, SmtpErrorKind::Rejected { .. }) && self.step >= Step::Mail
    }

    /// Which setting the operator must check, if the server rejects the worker's settings.
    pub(crate) fn operator_hint(&self) -> Option<&'static str> {
        let is_permanent = matches!(self.kind, SmtpErrorKind::Rejected { code: 500.., .. } | SmtpErrorKind::NotOffered);
        match (self.step, &self.kind) {
            (_, SmtpErrorKind::Rejected { code: AUTH_OR_TLS_REQUIRED, .. }) => {
                Some("the mail server requires a login or TLS: check user, password and tls= in SMTP_URL")
            }
            (_, SmtpErrorKind::UntrustedCertificate) => {
                Some("the mail server's certificate is not trusted: check the host and ca= in SMTP_URL")
            }
            (Step::Ehlo, _) if is_permanent => {
                Some("the mail server rejects this client: check host and port in SMTP_URL")
            }
            (Step::StartTls, _) if is_permanent => {
                Some("the mail server does not support STARTTLS: check tls= and port in SMTP_URL")
            }
            (Step::Auth, _) if is_permanent => {
                Some("the mail server does not accept the login: check user and password in SMTP_URL")
            }
            _ => None,
        }
    }

    /// What the error means for the email. Only a 5xx reply to the email itself is permanent: before MAIL, or with 530,
    /// the server rejects the worker and not the recipient, and the operator can fix that.
    pub(crate) fn send_outcome(&self) -> SendOutcome {
        let reason = self.to_string();
        match self.kind {
            SmtpErrorKind::Rejected { code: AUTH_OR_TLS_REQUIRED, .. } => SendOutcome::TransientFailure(reason),
            SmtpErrorKind::Rejected { code: 500.., .. } if self.step >= Step::Mail => {
                SendOutcome::PermanentFailure(reason)
            }
            _ => SendOutcome::TransientFailure(reason),
        }
    }
}

impl SmtpErrorKind {
    /// A rejection. Of the text only an enhanced status code (RFC 3463) at its beginning is kept.
    pub(crate) fn rejected(code: u16, text: &str) -> SmtpErrorKind {
        let first_word = text.split_whitespace().next().unwrap_or_default();
        let parts: Vec<&str> = first_word.split('.').collect();
        let digits = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let is_status = parts.len() == 3 && parts.iter().all(digits);
        let enhanced = is_status.then(|| first_word.to_owned());
        SmtpErrorKind::Rejected { code, enhanced }
    }
}

/// The I/O error behind an error of lettre, which reports the end of the stream as an incomplete response.
fn io_error_kind(error: &Error) -> io::ErrorKind {
    let network = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match network {
        Some(error) => error.kind(),
        None if error.to_string().ends_with("incomplete response") => io::ErrorKind::UnexpectedEof,
        None => io::ErrorKind::InvalidData,
    }
}

impl fmt::Display for SmtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        match &self.kind {
            SmtpErrorKind::Rejected { code, enhanced: Some(enhanced) } => write!(f, "{code} {enhanced}"),
            SmtpErrorKind::Rejected { code, enhanced: None } => write!(f, "{code}"),
            SmtpErrorKind::TimedOut => f.write_str("no answer in time"),
            SmtpErrorKind::UntrustedCertificate => f.write_str("certificate not trusted"),
            SmtpErrorKind::NotOffered => f.write_str("not offered by the server"),
            SmtpErrorKind::ConnectionLost(kind) => write!(f, "{kind}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connect => "connect",
            Step::Ehlo => "EHLO",
            Step::StartTls => "STARTTLS",
            Step::Tls => "TLS",
            Step::Auth => "AUTH",
            Step::Mail => "MAIL",
            Step::Rcpt => "RCPT",
            Step::Data => "DATA",
            Step::EndOfData => "end of data",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replies_to_the_email_have_their_reply_class() {
        for (step, code, class) in [
            (Step::Connect, 554, "connection"),
            (Step::Ehlo, 421, "connection"),
            (Step::StartTls, 454, "connection"),
            (Step::Auth, 535, "connection"),
            (Step::Mail, 421, "4xx"),
            (Step::Rcpt, 550, "5xx"),
            (Step::EndOfData, 451, "4xx"),
        ] {
            assert_eq!(SmtpError::new(step, SmtpErrorKind::rejected(code, "")).class(), class, "{step} {code}");
        }
        assert_eq!(SmtpError::new(Step::Auth, SmtpErrorKind::TimedOut).class(), "timeout");
    }
}
