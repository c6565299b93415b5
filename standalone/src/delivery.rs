//! Delivery from the outbox to the worker within the process, without a broker.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use api::{DeliveryError, MaxInFlight, OutboxDelivery, OutboxMessage};
use shared::shutdown::CLOSE_TIME;
use worker::{InProcessDelivery, RetryLater};

/// An outbox delivery that calls the worker directly, for up to `max_in_flight` messages at once.
///
/// A row stays in flight until the outcome of its message is recorded. A process that stops has as long as `drain` for the
/// mails in progress, like a worker: one that is cut off after its final dot is sent twice.
pub(crate) fn in_process_delivery(
    in_process: Arc<InProcessDelivery>,
    max_in_flight: usize,
    drain: Duration,
) -> OutboxDelivery {
    let deliver: api::Deliver = Arc::new(move |message| {
        let in_process = Arc::clone(&in_process);
        Box::pin(async move {
            // Events have no consumer without a broker, so they count as delivered.
            let OutboxMessage::Mail(envelope) = message else { return Ok(()) };
            let delivered = in_process.deliver(envelope).await;
            delivered
                .map_err(|RetryLater { reason, retry_after }| DeliveryError { error: anyhow!(reason), retry_after })
        })
    });
    let max_in_flight = MaxInFlight::of_each(max_in_flight);
    OutboxDelivery {
        deliver,
        is_up: Arc::new(|| true),
        max_in_flight: Arc::new(move || max_in_flight),
        look_at_queue: None,
        drain_timeout: drain.saturating_sub(CLOSE_TIME),
    }
}
