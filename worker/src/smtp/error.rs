//! Why a email was not taken: at which step, and whether trying again can help.

use std::{error::Error as _, fmt, io};

use lettre::transport::smtp::Error;

use super::SendOutcome;

/// The steps of a delivery, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Connect,
    Hello,
    StartTls,
    Tls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
}

#[derive(Debug)]
pub(crate) struct SmtpError {
    step: Step,
    fault: SmtpErrorKind,
}

/// Holds nothing a server made up but digits: reply texts like to repeat the address.
#[derive(Debug)]
pub(crate) enum SmtpErrorKind {
    Refused { code: u16, enhanced: Option<String> },
    Silent,
    Untrusted,
    NotOffered,
    Lost(io::ErrorKind),
}

const SERVICE_CLOSING: u16 = 421;
const LOGIN_OR_TLS_FIRST: u16 = 530;

impl SmtpError {
    pub(crate) fn new(step: Step, fault: SmtpErrorKind) -> SmtpError {
        SmtpError { step, fault }
    }

    pub(crate) fn lost(step: Step, error: &io::Error) -> SmtpError {
        SmtpError::new(step, SmtpErrorKind::Lost(error.kind()))
    }

    pub(crate) fn of(step: Step, error: &Error) -> SmtpError {
        let fault = match error.status() {
            Some(code) => {
                SmtpErrorKind::refused(code.into(), &error.source().map(ToString::to_string).unwrap_or_default())
            }
            None if error.is_client() => SmtpErrorKind::NotOffered,
            None => SmtpErrorKind::Lost(kind_of(error)),
        };
        SmtpError::new(step, fault)
    }

    /// True when the server was gone before it could have taken the email, so that sending it
    /// again on another connection cannot make two of it.
    pub(crate) fn gone_before_the_dot(&self) -> bool {
        let gone = match self.fault {
            SmtpErrorKind::Lost(_) => true,
            SmtpErrorKind::Refused { code, .. } => code == SERVICE_CLOSING,
            _ => false,
        };
        gone && self.step < Step::Dot
    }

    /// Of what the server said to the email, or why it said nothing: who refuses us before MAIL has not heard of it.
    pub(crate) fn class(&self) -> &'static str {
        match self.fault {
            SmtpErrorKind::Refused { .. } if !self.is_about_the_letter() => "connection",
            SmtpErrorKind::Refused { code: 500.., .. } => "5xx",
            SmtpErrorKind::Refused { .. } => "4xx",
            SmtpErrorKind::Silent => "timeout",
            SmtpErrorKind::Untrusted | SmtpErrorKind::NotOffered | SmtpErrorKind::Lost(_) => "connection",
        }
    }

    /// Whether the server takes emails, and would not take this one.
    pub(crate) fn is_about_the_letter(&self) -> bool {
        matches!(self.fault, SmtpErrorKind::Refused { .. }) && self.step >= Step::Mail
    }

    /// What the operator has to look at, when it is our settings the server does not like.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        let for_good = matches!(self.fault, SmtpErrorKind::Refused { code: 500.., .. } | SmtpErrorKind::NotOffered);
        match (self.step, &self.fault) {
            (_, SmtpErrorKind::Refused { code: LOGIN_OR_TLS_FIRST, .. }) => {
                Some("the mail server wants a login or TLS first: look at user, password and tls= in SMTP_URL")
            }
            (_, SmtpErrorKind::Untrusted) => {
                Some("the mail server's certificate is not trusted: look at the host and ca= in SMTP_URL")
            }
            (Step::Hello, _) if for_good => {
                Some("the mail server refuses this client: look at host and port in SMTP_URL")
            }
            (Step::StartTls, _) if for_good => {
                Some("the mail server does not do STARTTLS: look at tls= and port in SMTP_URL")
            }
            (Step::Auth, _) if for_good => {
                Some("the mail server does not take our login: look at user and password in SMTP_URL")
            }
            _ => None,
        }
    }

    /// Only a permanent refusal of this email is final. Before MAIL the server refuses us, not the
    /// address, and that can be mended.
    pub(crate) fn verdict(&self) -> SendOutcome {
        let why = self.to_string();
        match self.fault {
            SmtpErrorKind::Refused { code: LOGIN_OR_TLS_FIRST, .. } => SendOutcome::RetryLater(why),
            SmtpErrorKind::Refused { code: 500.., .. } if self.step >= Step::Mail => SendOutcome::Never(why),
            _ => SendOutcome::RetryLater(why),
        }
    }
}

impl SmtpErrorKind {
    /// Keeps of the text only an enhanced status code (RFC 3463) at its beginning.
    pub(crate) fn refused(code: u16, text: &str) -> SmtpErrorKind {
        let word = text.split_whitespace().next().unwrap_or_default();
        let parts: Vec<&str> = word.split('.').collect();
        let digits = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let is_status = parts.len() == 3 && parts.iter().all(digits);
        let enhanced = is_status.then(|| word.to_owned());
        SmtpErrorKind::Refused { code, enhanced }
    }
}

/// lettre calls the end of the stream an incomplete response, and wraps what the network said.
fn kind_of(error: &Error) -> io::ErrorKind {
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
        match &self.fault {
            SmtpErrorKind::Refused { code, enhanced: Some(enhanced) } => write!(f, "{code} {enhanced}"),
            SmtpErrorKind::Refused { code, enhanced: None } => write!(f, "{code}"),
            SmtpErrorKind::Silent => f.write_str("no answer in time"),
            SmtpErrorKind::Untrusted => f.write_str("certificate not trusted"),
            SmtpErrorKind::NotOffered => f.write_str("not offered by the server"),
            SmtpErrorKind::Lost(kind) => write!(f, "{kind}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connect => "connect",
            Step::Hello => "EHLO",
            Step::StartTls => "STARTTLS",
            Step::Tls => "TLS",
            Step::Auth => "AUTH",
            Step::Mail => "MAIL",
            Step::Rcpt => "RCPT",
            Step::Data => "DATA",
            Step::Dot => "end of data",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_to_the_letter_has_the_class_of_its_reply() {
        for (step, code, class) in [
            (Step::Connect, 554, "connection"),
            (Step::Hello, 421, "connection"),
            (Step::StartTls, 454, "connection"),
            (Step::Auth, 535, "connection"),
            (Step::Mail, 421, "4xx"),
            (Step::Rcpt, 550, "5xx"),
            (Step::Dot, 451, "4xx"),
        ] {
            assert_eq!(SmtpError::new(step, SmtpErrorKind::refused(code, "")).class(), class, "{step} {code}");
        }
        assert_eq!(SmtpError::new(Step::Auth, SmtpErrorKind::Silent).class(), "timeout");
    }
}
