//! An open connection to the mail server, and how a email goes over it.

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
    error::{SmtpError, SmtpErrorKind, Step},
    server::Timeouts,
};

pub(crate) struct Connection {
    pub(crate) smtp: AsyncSmtpConnection,
    /// Whether the server takes several commands at once (RFC 2920).
    pub(crate) pipelines: bool,
}

impl Connection {
    /// The connection must not be used again after a failure: with pipelining there may be replies on their way, and
    /// the server may even wait for the text of a email whose recipient it has refused.
    pub(crate) async fn deliver(&mut self, email: &Email, limits: Timeouts) -> Result<(), SmtpError> {
        if email.is_muted {
            return self.ask_in_vain(email, limits.step).await;
        }
        if self.pipelines {
            self.ask_at_once(email, limits.step).await?;
        } else {
            self.ask_step_by_step(email, limits.step).await?;
        }
        completed(Step::Dot, &within(Step::Dot, limits.dot, self.smtp.message(&email.bytes)).await?)
    }

    async fn ask_step_by_step(&mut self, email: &Email, limit: Duration) -> Result<(), SmtpError> {
        let (mail, rcpt) = envelope(email);
        completed(Step::Mail, &within(Step::Mail, limit, self.smtp.command(mail)).await?)?;
        completed(Step::Rcpt, &within(Step::Rcpt, limit, self.smtp.command(rcpt)).await?)?;
        go_ahead(&within(Step::Data, limit, self.smtp.command(Data)).await?)
    }

    /// One round trip instead of three. The first refusal is the verdict: the others only follow from it.
    async fn ask_at_once(&mut self, email: &Email, limit: Duration) -> Result<(), SmtpError> {
        let (mail, rcpt) = envelope(email);
        let all = format!("{mail}{rcpt}{Data}");
        completed(Step::Mail, &within(Step::Mail, limit, self.smtp.command(all)).await?)?;
        completed(Step::Rcpt, &within(Step::Rcpt, limit, self.smtp.read_response()).await?)?;
        go_ahead(&within(Step::Data, limit, self.smtp.read_response()).await?)
    }

    /// All but the email: with RSET nothing of it was said. Who would be refused with a email is refused without.
    async fn ask_in_vain(&mut self, email: &Email, limit: Duration) -> Result<(), SmtpError> {
        let (mail, rcpt) = envelope(email);
        if self.pipelines {
            let all = format!("{mail}{rcpt}{Rset}");
            completed(Step::Mail, &within(Step::Mail, limit, self.smtp.command(all)).await?)?;
            completed(Step::Rcpt, &within(Step::Rcpt, limit, self.smtp.read_response()).await?)?;
            return completed(Step::Data, &within(Step::Data, limit, self.smtp.read_response()).await?);
        }
        completed(Step::Mail, &within(Step::Mail, limit, self.smtp.command(mail)).await?)?;
        completed(Step::Rcpt, &within(Step::Rcpt, limit, self.smtp.command(rcpt)).await?)?;
        completed(Step::Data, &within(Step::Data, limit, self.smtp.command(Rset)).await?)
    }
}

fn envelope(email: &Email) -> (Mail, Rcpt) {
    (Mail::new(Some(email.from.clone()), vec![]), Rcpt::new(email.to.clone(), vec![]))
}

/// Runs one step of the dialogue; the connection must not be used again after a failure.
pub(crate) async fn within<T>(
    step: Step,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, SmtpError> {
    match timeout(limit, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(SmtpError::of(step, &error)),
        Err(_) => Err(SmtpError::new(step, SmtpErrorKind::Silent)),
    }
}

/// lettre calls every 2xx and 3xx a success; here "go on" would be a lie.
pub(crate) fn completed(step: Step, reply: &Response) -> Result<(), SmtpError> {
    if reply.code().severity == Severity::PositiveCompletion {
        return Ok(());
    }
    Err(SmtpError::new(step, SmtpErrorKind::refused(reply.code().into(), "")))
}

fn go_ahead(reply: &Response) -> Result<(), SmtpError> {
    if reply.has_code(354) {
        return Ok(());
    }
    Err(SmtpError::new(Step::Data, SmtpErrorKind::refused(reply.code().into(), "")))
}
