//! Where the outbox leads: what comes out of it, and who takes it.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use shared::messages::Envelope;

use crate::domain::cloud_event::Event;

/// EventKind a row of the outbox holds.
pub enum OutboxMessage {
    /// For the worker.
    Mail(Envelope),
    /// For other services, if there are any that listen.
    Event(Event),
}

impl OutboxMessage {
    /// EventKind it is, and the trace that it belongs to.
    pub(crate) fn trace(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Mail(envelope) => ("publish a mail", envelope.traceparent.as_deref()),
            Self::Event(event) => ("publish an event", event.traceparent.as_deref()),
        }
    }
}

/// Takes it away for good: `Ok` means that it is safely somebody else's, or over and on record.
pub type Deliver = Arc<dyn Fn(OutboxMessage) -> BoxFuture<'static, Result<(), DeliveryError>> + Send + Sync>;

/// The row stays, and its turn comes again.
pub struct DeliveryError {
    pub why: anyhow::Error,
    pub again_after: Duration,
}

/// Where the outbox leads.
#[derive(Clone)]
pub struct OutboxDelivery {
    pub deliver: Deliver,
    /// Whether it is open just now.
    pub is_up: Arc<dyn Fn() -> bool + Send + Sync>,
    /// How many messages it may carry at once.
    pub in_hand: usize,
}
