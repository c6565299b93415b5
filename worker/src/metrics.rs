//! Metrics of the worker. Each message is counted once per delivery attempt, where its outcome is known.

use std::{sync::Arc, time::Duration};

use shared::messages::MailKind;
use shared::telemetry::metrics::{Counter, Family, Gauge, Histogram, Registry, names};

use crate::domain::outcome::{Completion, Outcome};

/// Why mails are dropped: the reasons in `domain/decision.rs` and `delivery/handler.rs`.
const DROP_REASONS: [&str; 4] = ["expired", "superseded", "registration over", "gone"];

/// The label value of the kind of a message that could not be parsed.
const UNKNOWN_KIND: &str = "-";

/// The counters, gauges and histograms that the worker updates itself.
pub(crate) struct Metrics {
    messages: Arc<Family<2>>,
    dropped: Arc<Family<1>>,
    delivery_seconds: Arc<Family<1, Histogram>>,
    /// Messages that are being handled.
    pub(crate) in_flight: Gauge,
    pub(crate) postgres_errors: Counter,
}

impl Metrics {
    /// Registers the metrics; the usual label values are reported as 0 from the start.
    pub(crate) fn new(registry: &Registry) -> Self {
        let outcomes = ["delivered", "dropped", "undeliverable", "retried", "postponed"];
        let labels = MailKind::ALL.iter().flat_map(|kind| outcomes.map(|outcome| [kind.name(), outcome]));
        Self {
            messages: registry.family(names::MESSAGES).with(labels.chain([[UNKNOWN_KIND, "parked"]])),
            dropped: registry.family(names::MAILS_DROPPED).with(DROP_REASONS.map(|reason| [reason])),
            delivery_seconds: registry
                .family(names::DELIVERY_SECONDS)
                .with(MailKind::ALL.iter().map(|kind| [kind.name()])),
            in_flight: registry.one(names::IN_HAND),
            postgres_errors: registry.family(names::POSTGRES_ERRORS).of(["worker"]),
        }
    }

    /// Counts the outcome of a delivery attempt. `kind` is `None` for a message that could not be parsed.
    pub(crate) fn count_message(&self, kind: Option<MailKind>, outcome: &Outcome) {
        let outcome_label = match outcome {
            Outcome::Completed(Completion::Delivered) => "delivered",
            Outcome::Completed(Completion::Dropped(reason)) => {
                self.dropped.count([reason]);
                "dropped"
            }
            Outcome::Completed(Completion::Undeliverable) => "undeliverable",
            Outcome::Completed(Completion::AlreadyRecorded) => "repeated",
            Outcome::Retry(_) => "retried",
            Outcome::RetryAfterError(_) | Outcome::Postpone(_) => "postponed",
            Outcome::Park(_) => "parked",
            Outcome::Requeue => "given_back",
        };
        self.messages.count([kind.map_or(UNKNOWN_KIND, MailKind::name), outcome_label]);
    }

    /// Observes the time from the request to the recorded delivery of a mail.
    pub(crate) fn observe_delivery_age(&self, kind: MailKind, age: Duration) {
        self.delivery_seconds.of([kind.name()]).observe(age.as_secs_f64());
    }
}
