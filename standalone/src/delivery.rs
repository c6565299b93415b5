//! The way from the outbox to the mail without a broker.

use std::sync::Arc;

use anyhow::anyhow;
use api::{DeliveryError, OutboxDelivery, OutboxMessage};
use worker::{InProcessDelivery, RetryLater};

/// A row of the outbox is in a in_process's hand until the end of its message is on record.
pub(crate) fn direct(in_process: Arc<InProcessDelivery>, max_in_flight: usize) -> OutboxDelivery {
    let deliver: api::Deliver = Arc::new(move |outgoing| {
        let in_process = Arc::clone(&in_process);
        Box::pin(async move {
            // Without a broker there is nobody who could listen.
            let OutboxMessage::Mail(envelope) = outgoing else { return Ok(()) };
            let carried = in_process.deliver(envelope).await;
            carried.map_err(|RetryLater { reason, retry_after }| DeliveryError { error: anyhow!(reason), retry_after })
        })
    });
    OutboxDelivery { deliver, is_up: Arc::new(|| true), max_in_flight }
}
