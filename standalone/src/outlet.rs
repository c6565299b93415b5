//! The way from the outbox to the mail without a broker.

use std::sync::Arc;

use anyhow::anyhow;
use api::{Outgoing, Outlet, Undelivered};
use worker::{Courier, Later};

/// A row of the outbox is in a courier's hand until the end of its message is on record.
pub(crate) fn direct(courier: Arc<Courier>, in_hand: usize) -> Outlet {
    let deliver: api::Deliver = Arc::new(move |outgoing| {
        let courier = Arc::clone(&courier);
        Box::pin(async move {
            // Without a broker there is nobody who could listen.
            let Outgoing::Mail(envelope) = outgoing else { return Ok(()) };
            let carried = courier.carry(envelope).await;
            carried.map_err(|Later { why, after }| Undelivered { why: anyhow!(why), again_after: after })
        })
    });
    Outlet { deliver, is_up: Arc::new(|| true), in_hand }
}
