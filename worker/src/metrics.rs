//! What the worker counts of messages: each once, where it is known how it ended.

use std::{sync::Arc, time::Duration};

use shared::messages::MailKind;
use shared::telemetry::metrics::{Family, Number, Registry, histogram::Histogram, names};

use crate::delivery::outcome::{Done, Outcome};

/// Why mails are dropped (`judge.rs`, `handle.rs`).
const REASONS: [&str; 5] = ["expired", "superseded", "registration over", "gone", "muted"];

pub(crate) struct Metrics {
    messages: Arc<Family<2>>,
    dropped: Arc<Family<1>>,
    delivery_seconds: Arc<Family<1, Histogram>>,
    pub(crate) in_hand: Arc<Number>,
    pub(crate) postgres_errors: Arc<Number>,
}

impl Metrics {
    pub(crate) fn new(all: &Registry) -> Self {
        let outcomes = ["delivered", "dropped", "undeliverable", "retried", "postponed"];
        let each = MailKind::ALL.iter().flat_map(|kind| outcomes.map(|outcome| [kind.name(), outcome]));
        Self {
            messages: all.family(names::MESSAGES).with(each.chain([["-", "parked"]])),
            dropped: all.family(names::MAILS_DROPPED).with(REASONS.map(|why| [why])),
            delivery_seconds: all.family(names::DELIVERY_SECONDS).with(MailKind::ALL.iter().map(|kind| [kind.name()])),
            in_hand: all.one(names::IN_HAND),
            postgres_errors: all.family(names::POSTGRES_ERRORS).of(["worker"]),
        }
    }

    /// The kind is that of a message that could be read.
    pub(crate) fn worked_on(&self, kind: Option<MailKind>, outcome: &Outcome) {
        let told = match outcome {
            Outcome::Done(Done::Delivered) => "delivered",
            Outcome::Done(Done::Dropped(why)) => {
                self.dropped.count([why]);
                "dropped"
            }
            Outcome::Done(Done::Undeliverable) => "undeliverable",
            Outcome::Done(Done::Before) => "repeated",
            Outcome::Retry(_) => "retried",
            Outcome::Postpone(_) => "postponed",
            Outcome::Park(_) => "parked",
            Outcome::GiveBack => "given_back",
        };
        self.messages.count([kind.map_or("-", MailKind::name), told]);
    }

    pub(crate) fn delivered(&self, kind: MailKind, age: Duration) {
        self.delivery_seconds.of([kind.name()]).observe(age);
    }
}
