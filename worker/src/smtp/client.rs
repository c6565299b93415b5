//! Sends one email at a time over one connection, which is reused for the next email.
//!
//! The connection is taken out of the client before the first command of a delivery and put back only after the final
//! reply. If anything else happens (an error, a timeout, a dropped future), the connection is closed, so that no later
//! email can read a reply that was meant for this one.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use crate::smtp::{
    Email, SendOutcome, config::SmtpConfig, connect::connect, connection::SmtpConnection, error::SmtpError,
};

/// An idle connection is not reused after this time: servers and gateways drop idle connections without notice.
pub(super) const MAX_IDLE: Duration = Duration::from_secs(20);

const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends emails over one connection at a time, and reconnects when necessary.
pub(crate) struct SmtpClient {
    config: Arc<SmtpConfig>,
    pub(super) idle: Option<IdleConnection>,
}

/// An open connection on which no command is under way.
pub(super) struct IdleConnection {
    connection: SmtpConnection,
    pub(super) since: Instant,
}

impl SmtpClient {
    /// Creates a client without a connection.
    pub(crate) fn new(config: Arc<SmtpConfig>) -> SmtpClient {
        SmtpClient { config, idle: None }
    }

    /// Closes the connection, if there is one, with QUIT.
    pub(crate) async fn close(&mut self) {
        if let Some(mut idle) = self.idle.take() {
            // The connection is closed in any case; the server's reply makes no difference.
            let _ = timeout(QUIT_TIMEOUT, idle.connection.smtp.quit()).await;
        }
    }

    /// Sends the email; `Ok` means that the mail server accepted it.
    pub(super) async fn deliver(&mut self, email: &Email) -> Result<(), SmtpError> {
        if let Some(idle) = self.idle.take().filter(|idle| idle.since.elapsed() < MAX_IDLE) {
            match self.deliver_over(idle.connection, email).await {
                // The server closed the idle connection, which says nothing about this email: try a new connection.
                Err(error) if error.is_lost_before_end_of_data() => {}
                result => return result,
            }
        }
        let connection = connect(&self.config).await?;
        self.deliver_over(connection, email).await
    }

    /// Sends the email over this connection and keeps the connection if the email was accepted.
    pub(super) async fn deliver_over(
        &mut self,
        mut connection: SmtpConnection,
        email: &Email,
    ) -> Result<(), SmtpError> {
        connection.deliver(email, self.config.timeouts).await?;
        self.idle = Some(IdleConnection { connection, since: Instant::now() });
        Ok(())
    }
}

/// Converts the result of a delivery to its meaning for the email; logs a hint if the operator must fix a setting.
pub(super) fn send_outcome(result: &Result<(), SmtpError>) -> SendOutcome {
    let Err(error) = result else { return SendOutcome::Accepted };
    if let Some(hint) = error.operator_hint() {
        tracing::error!(%error, hint, "mail server cannot be used; check SMTP_URL");
    }
    error.send_outcome()
}
