//! LockstepStream the outcome of a message into what the broker must hear: ack, retry or park.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use lapin::{BasicProperties, Confirmation, message::Delivery, options::BasicAckOptions, types::AMQPValue};
use shared::amqp::{
    confirms::{ConfirmedChannel, To},
    copy,
    topology::Topology,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    consumer::headers::{ATTEMPTS, SINCE, WHY},
    delivery::{
        handler::{POSTPONED_SECONDS, pause_after},
        outcome::Outcome,
    },
};

const ACK_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Acknowledger {
    pub(crate) copies: ConfirmedChannel,
    pub(crate) topology: Topology,
    /// Rung when a message could not be settled: the connections are replaced, and the broker gives
    /// everything that was not acked to somebody again.
    pub(crate) doubt: Arc<Notify>,
    /// Cancelled when the connections are given up: lapin then leaves its waiters waiting.
    pub(crate) gone: CancellationToken,
}

impl Acknowledger {
    pub(crate) async fn settle(&self, delivery: &Delivery, outcome: Outcome) {
        if let Err(error) = self.try_to_settle(delivery, outcome).await {
            tracing::warn!(error = format!("{error:#}"), "a message could not be settled: it will come again");
            self.doubt.notify_one();
        }
    }

    async fn try_to_settle(&self, delivery: &Delivery, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Done(_) => {}
            // What is not acked when the connection ends goes back to the queue.
            Outcome::GiveBack => return Ok(()),
            Outcome::Retry(why) => {
                let attempts = attempts_of(&delivery.properties);
                let seconds = pause_after(attempts);
                tracing::warn!(why, attempts, seconds, "will be tried again");
                let next = AMQPValue::LongUInt(attempts.saturating_add(1));
                self.publish(&self.topology.retry_queue(seconds), delivery, [(ATTEMPTS, next)]).await?;
            }
            Outcome::Postpone(why) => {
                tracing::warn!(why, "postponed");
                let attempts = AMQPValue::LongUInt(attempts_of(&delivery.properties));
                self.publish(&self.topology.retry_queue(POSTPONED_SECONDS), delivery, [(ATTEMPTS, attempts)]).await?;
            }
            Outcome::Park(why) => {
                tracing::error!(why, "parked");
                let stamps = [(WHY, AMQPValue::LongString(why.into())), (SINCE, now())];
                self.publish(&self.topology.parked, delivery, stamps).await?;
            }
        }
        // Only now: whatever happens before this line, the message comes again.
        let acked = tokio::time::timeout(ACK_TIMEOUT, delivery.ack(BasicAckOptions::default())).await??;
        if acked { Ok(()) } else { bail!("the channel it came on is closed") }
    }

    /// The same message on another queue, safely there when this returns.
    async fn publish<const N: usize>(
        &self,
        queue: &str,
        delivery: &Delivery,
        stamps: [(&str, AMQPValue); N],
    ) -> Result<()> {
        let properties = copy::properties(&delivery.properties, stamps);
        let to = To { exchange: "", routing_key: queue, mandatory: true };
        // Without a timeout: a broker that takes nothing now, being short of memory or disk, will. What ends
        // the wait for one that is gone is that the connections are replaced.
        let publishing = async {
            let confirm = self.copies.publish(to, &delivery.data, properties).await?;
            anyhow::Ok(confirm.await?)
        };
        let confirmed = tokio::select! {
            // First: the message itself comes again by now, and a copy of it would only be one more.
            biased;
            () = self.gone.cancelled() => bail!("the connection was given up"),
            confirmed = publishing => confirmed?,
        };
        match confirmed {
            Confirmation::Ack(None) => Ok(()),
            _ => bail!("the broker did not take it for {queue}"),
        }
    }
}

/// For people to read: nothing is judged by it.
fn now() -> AMQPValue {
    #[expect(clippy::disallowed_methods, reason = "a stamp must come from a clock, and the message has no other")]
    let now = std::time::SystemTime::now();
    AMQPValue::Timestamp(now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn attempts_of(properties: &BasicProperties) -> u32 {
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(ATTEMPTS)) {
        Some(AMQPValue::LongUInt(attempts)) => *attempts,
        // The broker may hand a number back in a wider form than it was given.
        Some(AMQPValue::LongLongInt(attempts)) => u32::try_from(*attempts).unwrap_or(u32::MAX),
        _ => 0,
    }
}
