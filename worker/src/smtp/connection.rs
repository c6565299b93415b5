//! An open connection to the mail server: sends one email over it, with pipelining if the server supports it.

use std::time::Duration;

use lettre::transport::smtp::{
    Error,
    client::AsyncSmtpConnection,
    commands::{Data, Mail, Rcpt, Rset},
    response::{Response, Severity},
};
use tokio::time::timeout;

use crate::smtp::{
    Email,
    config::Timeouts,
    error::{SmtpError, SmtpErrorKind, Step},
};

/// A connection on which EHLO and, if required, AUTH were successful.
pub(crate) struct SmtpConnection {
    pub(crate) smtp: AsyncSmtpConnection,
    /// Whether the server accepts several commands at once (PIPELINING, RFC 2920).
    pub(crate) supports_pipelining: bool,
}

impl SmtpConnection {
    /// Sends the email. The connection must not be used again after a failure: with pipelining, replies may still
    /// arrive, and the server may even wait for the text of an email whose recipient it has rejected.
    pub(crate) async fn deliver(&mut self, email: &Email, timeouts: Timeouts) -> Result<(), SmtpError> {
        if email.is_muted {
            return self.send_envelope_only(email, timeouts.step).await;
        }
        if self.supports_pipelining {
            self.send_envelope_pipelined(email, timeouts.step).await?;
        } else {
            self.send_envelope(email, timeouts.step).await?;
        }
        let message = self.smtp.message(&email.bytes);
        expect_completion(Step::EndOfData, &with_timeout(Step::EndOfData, timeouts.end_of_data, message).await?)
    }

    /// Sends MAIL, RCPT and DATA, and waits for the reply to each.
    async fn send_envelope(&mut self, email: &Email, step_timeout: Duration) -> Result<(), SmtpError> {
        let (mail, rcpt) = envelope(email);
        let reply = with_timeout(Step::Mail, step_timeout, self.smtp.command(mail)).await?;
        expect_completion(Step::Mail, &reply)?;
        let reply = with_timeout(Step::Rcpt, step_timeout, self.smtp.command(rcpt)).await?;
        expect_completion(Step::Rcpt, &reply)?;
        expect_go_ahead(&with_timeout(Step::Data, step_timeout, self.smtp.command(Data)).await?)
    }

    /// Sends MAIL, RCPT and DATA at once: one round trip instead of three. The first rejection is the result, because
    /// the later ones only follow from it.
    async fn send_envelope_pipelined(&mut self, email: &Email, step_timeout: Duration) -> Result<(), SmtpError> {
        let (mail, rcpt) = envelope(email);
        let commands = format!("{mail}{rcpt}{Data}");
        let reply = with_timeout(Step::Mail, step_timeout, self.smtp.command(commands)).await?;
        expect_completion(Step::Mail, &reply)?;
        let reply = with_timeout(Step::Rcpt, step_timeout, self.smtp.read_response()).await?;
        expect_completion(Step::Rcpt, &reply)?;
        expect_go_ahead(&with_timeout(Step::Data, step_timeout, self.smtp.read_response()).await?)
    }

    /// Sends MAIL and RCPT, then RSET instead of DATA: nothing is delivered, but a recipient whom the server rejects
    /// for a normal email is rejected here, too.
    async fn send_envelope_only(&mut self, email: &Email, step_timeout: Duration) -> Result<(), SmtpError> {
        let (mail, rcpt) = envelope(email);
        if self.supports_pipelining {
            let commands = format!("{mail}{rcpt}{Rset}");
            let reply = with_timeout(Step::Mail, step_timeout, self.smtp.command(commands)).await?;
            expect_completion(Step::Mail, &reply)?;
            let reply = with_timeout(Step::Rcpt, step_timeout, self.smtp.read_response()).await?;
            expect_completion(Step::Rcpt, &reply)?;
            let reply = with_timeout(Step::Data, step_timeout, self.smtp.read_response()).await?;
            return expect_completion(Step::Data, &reply);
        }
        let reply = with_timeout(Step::Mail, step_timeout, self.smtp.command(mail)).await?;
        expect_completion(Step::Mail, &reply)?;
        let reply = with_timeout(Step::Rcpt, step_timeout, self.smtp.command(rcpt)).await?;
        expect_completion(Step::Rcpt, &reply)?;
        expect_completion(Step::Data, &with_timeout(Step::Data, step_timeout, self.smtp.command(Rset)).await?)
    }
}

fn envelope(email: &Email) -> (Mail, Rcpt) {
    (Mail::new(Some(email.from.clone()), vec![]), Rcpt::new(email.to.clone(), vec![]))
}

/// Runs one SMTP step with a timeout. The connection must not be used again after a failure.
pub(crate) async fn with_timeout<T>(
    step: Step,
    step_timeout: Duration,
    operation: impl Future<Output = Result<T, Error>>,
) -> Result<T, SmtpError> {
    match timeout(step_timeout, operation).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(SmtpError::from_lettre(step, &error)),
        Err(_) => Err(SmtpError::new(step, SmtpErrorKind::TimedOut)),
    }
}

/// Requires a 2xx reply. lettre treats every 2xx and 3xx as success, but a 3xx does not complete a step.
pub(crate) fn expect_completion(step: Step, reply: &Response) -> Result<(), SmtpError> {
    if reply.code().severity == Severity::PositiveCompletion {
        return Ok(());
    }
    Err(SmtpError::new(step, SmtpErrorKind::rejected(reply.code().into(), "")))
}

/// Requires the reply 354 to DATA.
fn expect_go_ahead(reply: &Response) -> Result<(), SmtpError> {
    if reply.has_code(354) {
        return Ok(());
    }
    Err(SmtpError::new(Step::Data, SmtpErrorKind::rejected(reply.code().into(), "")))
}
