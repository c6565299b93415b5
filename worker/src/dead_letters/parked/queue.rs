//! The queue of parked messages: fetch, requeue, ack, and release what was only read.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use lapin::{
    Channel, Confirmation,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use secrecy::SecretString;
use shared::amqp::{
    Link,
    confirms::{ConfirmedChannel, To},
    copy,
    topology::Topology,
};
use shared::messages::{MailQueue, Message};

use super::message::ParkedMessage;

/// The most messages that one command fetches: it holds all of them unacked until it ends.
pub(crate) const MAX_MESSAGES: u32 = 10_000;

const TIMEOUT: Duration = Duration::from_secs(10);

const IN_DOUBT: &str = "the one that was under way may be in both queues";

/// The parked queue, opened by one command. `close` returns the fetched messages to the queue.
pub(crate) struct ParkedQueue<'a> {
    topology: &'a Topology,
    link: Link,
    channel: Channel,
    publisher: ConfirmedChannel,
    fetched: u32,
    /// The length of the queue when the first message was fetched. Messages that are parked later are not fetched:
    /// they may have been requeued by this command a moment ago.
    total: Option<u32>,
}

impl<'a> ParkedQueue<'a> {
    /// Connects to the broker and checks that the queue exists.
    pub(crate) async fn open(url: &SecretString, topology: &'a Topology) -> Result<Self> {
        let link = shared::amqp::connect(url, "vestibule worker: parked").await?;
        let opening = async {
            let channel = link.connection.create_channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let checking = channel.queue_declare(topology.parked.as_str().into(), passive, FieldTable::default());
            checking.await.with_context(|| {
                let queue = &topology.parked;
                format!("the broker has no queue {queue}: check AMQP_PREFIX; the API and the worker create it at start")
            })?;
            anyhow::Ok((channel, ConfirmedChannel::open(&link.connection).await?))
        };
        let (channel, publisher) = with_timeout(opening).await?;
        Ok(Self { topology, link, channel, publisher, fetched: 0, total: None })
    }

    /// Fetches the next message, each message once. One that is neither acked nor requeued returns to the queue.
    pub(crate) async fn next(&mut self) -> Result<Option<(ParkedMessage, Delivery)>> {
        if self.fetched >= self.total.unwrap_or(MAX_MESSAGES).min(MAX_MESSAGES) {
            return Ok(None);
        }
        let queue = self.topology.parked.as_str();
        let get = with_timeout(async { Ok(self.channel.basic_get(queue.into(), BasicGetOptions::default()).await?) });
        let Some(message) = get.await? else { return Ok(None) };
        self.fetched += 1;
        self.total.get_or_insert(message.message_count.saturating_add(1));
        Ok(Some((ParkedMessage::from_delivery(&message.delivery), message.delivery)))
    }

    /// The length of the queue when the first message was fetched.
    pub(crate) fn total(&self) -> u32 {
        self.total.unwrap_or(0)
    }

    /// Publishes the message to the work queue as it was before it was parked, and acks it after the broker has
    /// confirmed that. If the command is killed between the two, the message is in both queues.
    pub(crate) async fn requeue(&self, delivery: &Delivery) -> Result<()> {
        let properties = copy::properties(&delivery.properties, []);
        // One that cannot be read will be parked again, whichever queue it goes through.
        let queue = Message::from_json(&delivery.data).map_or(MailQueue::Codes, |message| message.kind.queue());
        let to = To { exchange: self.topology.exchange.as_str(), routing_key: queue.routing_key(), mandatory: true };
        let publishing = async { Ok(self.publisher.publish(to, &delivery.data, properties).await?.await?) };
        match with_timeout(publishing).await.context(IN_DOUBT)? {
            Confirmation::Ack(None) => self.ack(delivery).await.context(IN_DOUBT),
            Confirmation::Ack(Some(_)) => {
                bail!(
                    "the broker has no queue {}: start an API or a worker to create it",
                    self.topology.work_queue(queue).name
                )
            }
            _ => bail!("the broker did not accept the message"),
        }
    }

    /// Acks the message, which removes it from the queue.
    pub(crate) async fn ack(&self, delivery: &Delivery) -> Result<()> {
        let acked = with_timeout(async { Ok(delivery.ack(BasicAckOptions::default()).await?) }).await?;
        if acked { Ok(()) } else { bail!("the connection to the broker broke: check with `worker parked list`") }
    }

    /// Returns the messages that were fetched and not acked to the queue, in their order. (If the connection just
    /// closed, they would not be lost either, but out of order: for a quorum queue each fetch is a consumer of its
    /// own.)
    pub(crate) async fn close(self) {
        let all = BasicNackOptions { multiple: true, requeue: true };
        // If the broker does not answer, the end of the process requeues the messages.
        let _ = with_timeout(async { Ok(self.channel.basic_nack(0, all).await?) }).await;
        self.link.close().await;
    }
}

async fn with_timeout<T>(operation: impl Future<Output = Result<T>>) -> Result<T> {
    let timed_out = || format!("the broker did not answer within {TIMEOUT:?}: check its memory and disk alarms");
    tokio::time::timeout(TIMEOUT, operation).await.with_context(timed_out)?
}
