//! SMTP client: sends emails over a pool of connections that are kept open and reused.
//!
//! `pool` limits the number of connections, `client` sends one email over a new or a reused connection, `connect` opens
//! a connection (TCP, TLS, EHLO, AUTH), and `lockstep_stream` guarantees that every reply belongs to its command. Only
//! the final 250 after the end of data means that an email was accepted.

use lettre::Address;

mod capabilities;
mod client;
pub(crate) mod config;
mod connect;
mod connection;
mod error;
mod expected_replies;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub(crate) mod health;
mod lockstep_stream;
pub(crate) mod pool;
mod reply;
mod starttls;
#[cfg(test)]
mod tests;
mod tls;

/// A rendered mail with its SMTP envelope.
pub(crate) struct Email {
    pub(crate) from: Address,
    pub(crate) to: Address,
    /// The mail as it is sent after DATA.
    pub(crate) bytes: Vec<u8>,
    /// Mails to the recipient are suppressed. Sends the envelope only: the mail server accepts or rejects the
    /// recipient, then the transaction is aborted (RSET) and no mail is delivered.
    pub(crate) is_muted: bool,
}

/// The result of sending an email. The reasons contain no email address and no text of the mail server, so that they
/// can be logged and stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    /// The mail server accepted the email.
    Accepted,
    /// Transient failure: a retry may succeed.
    TransientFailure(String),
    /// Permanent failure: the mail server rejected this email with a 5xx reply.
    PermanentFailure(String),
}
