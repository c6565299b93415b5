//! Hands emails to the mail server; only the final 250 to a email's own dot counts as taken.
//!
//! Each slot owns one connection. It is taken out of the slot before the first word of a
//! delivery and goes back only after that 250: whatever else happens (an error, a timeout, the
//! future dropped in the middle) the connection is gone and no later email can read a reply that
//! was meant for this one.

use std::{sync::Arc, time::Duration};

use lettre::Address;
use shared::telemetry::traces::spans;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use connect::open;
use connection::Connection;
use error::SmtpError;
use server::Server;

mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod reply;
pub(crate) mod server;
mod starttls;
mod tls;

/// A mail as it goes over the wire, with its envelope.
pub(crate) struct Email {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) bytes: Vec<u8>,
    /// The mail server is asked like for any other, and then not given it.
    pub(crate) is_muted: bool,
}

/// What became of a email. The sentences hold no address and no word of the server's: they may be
/// logged and stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    Accepted,
    RetryLater(String),
    Never(String),
}

/// A place for a connection, which carries one email at a time.
pub(crate) struct Slot {
    server: Arc<Server>,
    kept: Option<Kept>,
}

struct Kept {
    connection: Connection,
    since: Instant,
}

/// Servers, and the gateways before them, forget an idle connection without telling.
const LONGEST_IDLE: Duration = Duration::from_secs(20);

const LONGEST_GOODBYE: Duration = Duration::from_secs(1);

impl Slot {
    pub(crate) fn new(server: Arc<Server>) -> Slot {
        Slot { server, kept: None }
    }

    /// Says goodbye to the server if there is a connection.
    pub(crate) async fn close(&mut self) {
        if let Some(mut kept) = self.kept.take() {
            // The connection goes in any case; the server's opinion on it changes nothing.
            let _ = timeout(LONGEST_GOODBYE, kept.connection.smtp.quit()).await;
        }
    }

    async fn deliver(&mut self, email: &Email) -> Result<(), SmtpError> {
        let span = spans::smtp();
        let said = self.over_some_connection(email).instrument(span.clone()).await;
        span.record("smtp.reply", said.as_ref().err().map_or("2xx", SmtpError::class));
        if said.is_err() {
            span.record("failed", true);
        }
        said
    }

    async fn over_some_connection(&mut self, email: &Email) -> Result<(), SmtpError> {
        let kept = self.kept.take().filter(|kept| kept.since.elapsed() < LONGEST_IDLE);
        if let Some(kept) = kept {
            match self.hand_over(kept.connection, email).await {
                // The server hung up while we had nothing for it; that says nothing about this email.
                Err(failure) if failure.gone_before_the_dot() => {}
                settled => return settled,
            }
        }
        let connection = open(&self.server).await?;
        self.hand_over(connection, email).await
    }

    async fn hand_over(&mut self, mut connection: Connection, email: &Email) -> Result<(), SmtpError> {
        connection.deliver(email, self.server.timeouts).await?;
        self.kept = Some(Kept { connection, since: Instant::now() });
        Ok(())
    }
}

/// What it means for the email; the operator is told what it means for him.
fn verdict(said: &Result<(), SmtpError>) -> SendOutcome {
    let Err(failure) = said else { return SendOutcome::Accepted };
    if let Some(hint) = failure.hint() {
        tracing::error!(%failure, "{hint}");
    }
    failure.verdict()
}

mod capabilities;
mod connect;
mod error;
mod expected_replies;
pub(crate) mod health;
mod lockstep_stream;
pub(crate) mod pool;
#[cfg(test)]
mod tests;
