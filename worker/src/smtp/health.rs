//! Health and metrics of the mail server: results of deliveries, and whether it could be reached recently.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use shared::telemetry::metrics::{Family, Gauge, Histogram, Registry, gauge_value, names};
use tokio::time::Instant;

use crate::smtp::error::SmtpError;

/// A failure counts as current for this time; after that the state is unknown and reported as healthy. While any mail
/// waits, the mail server is tried at least once a minute.
const FAILURE_MAX_AGE: Duration = Duration::from_secs(300);

/// Metrics and the last known state of the mail server.
pub(crate) struct SmtpHealth {
    results: Arc<Family<1>>,
    seconds: Histogram,
    last_success: Gauge,
    /// When the mail server could not be used, if that was the result of the last delivery.
    failed_at: Mutex<Option<Instant>>,
}

impl SmtpHealth {
    /// Registers the metrics. The mail server counts as healthy until a delivery fails.
    pub(crate) fn new(registry: &Registry) -> Self {
        let classes = ["2xx", "4xx", "5xx", "connection", "timeout"];
        Self {
            results: registry.family(names::SMTP_RESULTS).with(classes.map(|class| [class])),
            seconds: registry.one(names::SMTP_SECONDS),
            last_success: registry.one(names::SMTP_LAST_SUCCESS),
            failed_at: Mutex::default(),
        }
    }

    /// Records the result of a delivery that began at `started`.
    pub(crate) fn record(&self, result: &Result<(), SmtpError>, started: Instant) {
        self.seconds.observe(started.elapsed().as_secs_f64());
        self.results.count([result.as_ref().map_or_else(SmtpError::class, |()| "2xx")]);
        if result.is_ok() {
            self.last_success.set(gauge_value(now().as_secs()));
        }
        let failed = result.as_ref().is_err_and(|error| !error.rejects_the_email());
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = failed.then(Instant::now);
    }

    /// Whether the mail server was usable at the last delivery. Does not connect to it.
    pub(crate) fn is_healthy(&self) -> bool {
        let failed_at = *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_none_or(|at| at.elapsed() > FAILURE_MAX_AGE)
    }
}

fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "only for a metric that is a time of day")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::error::{SmtpErrorKind, Step};

    fn rejected(step: Step, code: u16) -> Result<(), SmtpError> {
        Err(SmtpError::new(step, SmtpErrorKind::rejected(code, "")))
    }

    #[tokio::test(start_paused = true)]
    async fn mail_server_is_unhealthy_until_success_or_expiry() {
        let health = SmtpHealth::new(&Registry::default());
        assert!(health.is_healthy(), "no mail was sent yet");
        for (result, healthy) in [
            (Err(SmtpError::new(Step::Connect, SmtpErrorKind::TimedOut)), false),
            (rejected(Step::Rcpt, 550), true),
            (rejected(Step::Auth, 535), false),
            (rejected(Step::EndOfData, 451), true),
            (Err(SmtpError::new(Step::Tls, SmtpErrorKind::UntrustedCertificate)), false),
            (Ok(()), true),
            (Err(SmtpError::new(Step::EndOfData, SmtpErrorKind::TimedOut)), false),
        ] {
            health.record(&result, Instant::now());
            assert_eq!(health.is_healthy(), healthy, "{result:?}");
        }
        tokio::time::advance(FAILURE_MAX_AGE + Duration::from_secs(1)).await;
        assert!(health.is_healthy());
    }
}
