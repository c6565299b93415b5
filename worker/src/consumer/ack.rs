//! Acknowledges messages according to their outcome: ack, retry queue with backoff, or parked queue (dead letter).

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use lapin::{
    BasicProperties, Confirmation,
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions},
    types::AMQPValue,
};
use shared::amqp::{
    confirms::{ConfirmedChannel, To},
    copy,
    topology::{Topology, WorkQueue},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    delivery::handler::{POSTPONE_SECONDS, retry_delay_seconds},
    domain::outcome::Outcome,
    message_headers::{ATTEMPTS, ERRORS, PARKED_AT, PARKED_REASON},
};

const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Settles the deliveries of one pair of broker connections.
#[derive(Clone)]
pub(crate) struct Acknowledger {
    /// Publishes the copies of retried and parked messages.
    pub(crate) publisher: ConfirmedChannel,
    pub(crate) topology: Topology,
    /// Notified when a message could not be acked: the consumer then reconnects, and the broker redelivers everything
    /// that was not acked.
    pub(crate) ack_failed: Arc<Notify>,
    /// Cancelled when the connections are closed: lapin never completes the futures that wait for them.
    pub(crate) connections_closed: CancellationToken,
}

impl Acknowledger {
    /// Copies the message to the retry or parked queue if the outcome requires it, then acks it. On failure the
    /// message stays unacked, so that the broker redelivers it.
    pub(crate) async fn settle(&self, delivery: &Delivery, outcome: Outcome) {
        if let Err(error) = self.try_settle(delivery, outcome).await {
            tracing::warn!(error = format!("{error:#}"), "ack failed; the message will be redelivered");
            self.ack_failed.notify_one();
        }
    }

    async fn try_settle(&self, delivery: &Delivery, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Completed(_) => {}
            Outcome::Requeue => {
                requeue(delivery).await;
                return Ok(());
            }
            Outcome::Retry(reason) => {
                let attempts = count(&delivery.properties, ATTEMPTS);
                let delay_seconds = retry_delay_seconds(attempts);
                tracing::warn!(reason, attempts, delay_seconds, "delivery attempt failed; retrying later");
                self.publish_to_retry(delivery, delay_seconds, [1, 0]).await?;
            }
            Outcome::RetryAfterError(reason) => {
                let errors = count(&delivery.properties, ERRORS);
                let delay_seconds = retry_delay_seconds(errors);
                tracing::error!(reason, errors, delay_seconds, "message could not be processed; retrying later");
                self.publish_to_retry(delivery, delay_seconds, [0, 1]).await?;
            }
            Outcome::Postpone(reason) => {
                tracing::warn!(reason, "delivery postponed");
                self.publish_to_retry(delivery, POSTPONE_SECONDS, [0, 0]).await?;
            }
            Outcome::Park(reason) => {
                tracing::error!(reason, "message parked");
                let headers = [(PARKED_REASON, AMQPValue::LongString(reason.into())), (PARKED_AT, now())];
                self.publish_copy(&self.topology.parked, delivery, headers).await?;
            }
        }
        // Last: until here, any failure means that the message is redelivered.
        let acked = tokio::time::timeout(ACK_TIMEOUT, delivery.ack(BasicAckOptions::default())).await??;
        if acked { Ok(()) } else { bail!("the channel of the delivery is closed") }
    }

    /// The work queue that the message is from.
    fn queue_of(&self, delivery: &Delivery) -> &WorkQueue {
        let Topology { codes, notices, .. } = &self.topology;
        if delivery.routing_key.as_str() == notices.routing_key { notices } else { codes }
    }

    /// Publishes a copy of the message to a retry queue, with these attempts and errors more.
    async fn publish_to_retry(&self, delivery: &Delivery, delay_seconds: u32, more: [u32; 2]) -> Result<()> {
        let header =
            |name, more: u32| (name, AMQPValue::LongUInt(count(&delivery.properties, name).saturating_add(more)));
        let headers = [header(ATTEMPTS, more[0]), header(ERRORS, more[1])];
        self.publish_copy(&self.queue_of(delivery).retry_queue(delay_seconds), delivery, headers).await
    }

    /// Publishes a copy of the message to another queue; returns after the broker has confirmed it.
    async fn publish_copy<const N: usize>(
        &self,
        queue: &str,
        delivery: &Delivery,
        headers: [(&str, AMQPValue); N],
    ) -> Result<()> {
        let properties = copy::properties(&delivery.properties, headers);
        let to = To { exchange: "", routing_key: queue, mandatory: true };
        // No timeout: a broker that blocks publishers because it is short of memory or disk accepts the message later.
        // If the broker is unreachable, closing the connections ends the wait.
        let publishing = async {
            let confirm = self.publisher.publish(to, &delivery.data, properties).await?;
            anyhow::Ok(confirm.await?)
        };
        let confirmed = tokio::select! {
            // Biased: once the connections are closed the message itself is redelivered, and a copy of it would be
            // a duplicate.
            biased;
            () = self.connections_closed.cancelled() => bail!("the connection was closed"),
            confirmed = publishing => confirmed?,
        };
        match confirmed {
            Confirmation::Ack(None) => Ok(()),
            _ => bail!("the broker did not accept the copy for the queue {queue}"),
        }
    }
}

/// Returns the message to its queue at once: this process may keep its connection open for as long as another message
/// takes. If that fails, the broker requeues the message when the connection is closed.
pub(crate) async fn requeue(delivery: &Delivery) {
    let options = BasicNackOptions { requeue: true, multiple: false };
    let _ = tokio::time::timeout(ACK_TIMEOUT, delivery.nack(options)).await;
}

/// The time of parking. Information for the operator; no decision depends on it.
fn now() -> AMQPValue {
    #[expect(clippy::disallowed_methods, reason = "a timestamp must come from a clock, and the message has no other")]
    let now = std::time::SystemTime::now();
    AMQPValue::Timestamp(now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// The number in a header of the message; 0 if there is none.
pub(crate) fn count(properties: &BasicProperties, header: &str) -> u32 {
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(header)) {
        Some(AMQPValue::LongUInt(count)) => *count,
        // The broker may return a number in a wider type than the one it was published with.
        Some(AMQPValue::LongLongInt(count)) => u32::try_from(*count).unwrap_or(u32::MAX),
        _ => 0,
    }
}
