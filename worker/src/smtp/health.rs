//! What the mail server said lately: counted, and whether it can be reached.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use shared::telemetry::metrics::{Family, Number, Registry, histogram::Histogram, names};
use tokio::time::Instant;

use crate::smtp::error::SmtpError;

/// After so long without a word with it, nobody knows; while anything waits to be mailed, it is tried once a minute.
const LATELY: Duration = Duration::from_secs(300);

pub(crate) struct SmtpHealth {
    results: Arc<Family<1>>,
    seconds: Arc<Histogram>,
    last_success: Arc<Number>,
    /// When it could not be talked to, if that was the last that was tried.
    trouble: Mutex<Option<Instant>>,
}

impl SmtpHealth {
    pub(crate) fn new(all: &Registry) -> Self {
        let classes = ["2xx", "4xx", "5xx", "connection", "timeout"];
        Self {
            results: all.family(names::SMTP_RESULTS).with(classes.map(|class| [class])),
            seconds: all.one(names::SMTP_SECONDS),
            last_success: all.one(names::SMTP_LAST_SUCCESS),
            trouble: Mutex::default(),
        }
    }

    pub(crate) fn hear(&self, said: &Result<(), SmtpError>, begun: Instant) {
        self.seconds.observe(begun.elapsed());
        self.results.count([said.as_ref().map_or_else(SmtpError::class, |()| "2xx")]);
        if said.is_ok() {
            self.last_success.set(now().as_secs());
        }
        let trouble = said.as_ref().is_err_and(|failure| !failure.is_about_the_letter());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.then(Instant::now);
    }

    /// Nobody is called only to find out.
    pub(crate) fn is_well(&self) -> bool {
        let trouble = *self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.is_none_or(|at| at.elapsed() > LATELY)
    }
}

fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "for a metric only, which tells a time of day")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::error::{SmtpErrorKind, Step};

    fn refused(step: Step, code: u16) -> Result<(), SmtpError> {
        Err(SmtpError::new(step, SmtpErrorKind::refused(code, "")))
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_in_trouble_that_cannot_be_talked_to_until_it_can_or_nobody_knows() {
        let heard = SmtpHealth::new(&Registry::default());
        assert!(heard.is_well(), "nothing was to be mailed yet");
        for (said, well) in [
            (Err(SmtpError::new(Step::Connect, SmtpErrorKind::Silent)), false),
            (refused(Step::Rcpt, 550), true),
            (refused(Step::Auth, 535), false),
            (refused(Step::Dot, 451), true),
            (Err(SmtpError::new(Step::Tls, SmtpErrorKind::Untrusted)), false),
            (Ok(()), true),
            (Err(SmtpError::new(Step::Dot, SmtpErrorKind::Silent)), false),
        ] {
            heard.hear(&said, Instant::now());
            assert_eq!(heard.is_well(), well, "{said:?}");
        }
        tokio::time::advance(LATELY + Duration::from_secs(1)).await;
        assert!(heard.is_well());
    }
}
