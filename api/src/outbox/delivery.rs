//! The interface between the relay and what delivers outbox messages: RabbitMQ, or a worker in the same process.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use shared::messages::MailQueue;

use crate::domain::{outbox_capacity::MaxInFlight, outbox_message::OutboxMessage};

/// Delivers one message. `Ok` means that the receiver has stored the message, or that its outcome is recorded: the
/// relay deletes the row.
pub type Deliver = Arc<dyn Fn(OutboxMessage) -> BoxFuture<'static, Result<(), DeliveryError>> + Send + Sync>;

/// Looks at a queue. If workers consume it and no message waits in it, returns how many wait in its retry queues; `None` also
/// if the broker does not say.
pub type LookAtQueue = Arc<dyn Fn(MailQueue) -> BoxFuture<'static, Option<u32>> + Send + Sync>;

/// A failed delivery. The row stays in the outbox and is retried.
pub struct DeliveryError {
    pub error: anyhow::Error,
    /// The backoff: the row may be leased again after this time.
    pub retry_after: Duration,
}

/// The delivery that the relay uses.
#[derive(Clone)]
pub struct OutboxDelivery {
    pub deliver: Deliver,
    /// Whether it accepts messages now; while it does not, the relay leases nothing.
    pub is_up: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The maximum number of messages in flight at this moment.
    pub max_in_flight: Arc<dyn Fn() -> MaxInFlight + Send + Sync>,
    /// `None` if there is no queue: a row is in the outbox until its message has an outcome, and cannot be lost.
    pub look_at_queue: Option<LookAtQueue>,
    /// On shutdown: how long the relay waits for the messages in flight before it abandons and releases them.
    pub drain_timeout: Duration,
}
