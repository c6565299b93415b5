//! The queue of the parked messages, in the hands of a tool.

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
    topology::{ROUTING_KEY, Topology},
};

use super::message::Parked;

/// So many are looked at in one go: they are all in our hands until the end.
pub(crate) const MOST: u32 = 10_000;

const TIMEOUT: Duration = Duration::from_secs(10);

const IN_DOUBT: &str = "the one that was under way may be in both queues";

pub(crate) struct Queue<'a> {
    topology: &'a Topology,
    link: Link,
    channel: Channel,
    copies: ConfirmedChannel,
    seen: u32,
    /// How many there were when the first was fetched. What is parked later is not looked at: it may be
    /// what was requeued a moment ago.
    total: Option<u32>,
}

impl<'a> Queue<'a> {
    pub(crate) async fn open(url: &SecretString, topology: &'a Topology) -> Result<Self> {
        let link = shared::amqp::connect(url, "vestibule worker: parked").await?;
        let opening = async {
            let channel = link.connection.create_channel().await?;
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let looking = channel.queue_declare(topology.parked.as_str().into(), passive, FieldTable::default());
            looking.await.with_context(|| {
                let name = &topology.parked;
                format!("the broker has no queue {name}: is AMQP_PREFIX right? An api or a worker that starts makes it")
            })?;
            anyhow::Ok((channel, ConfirmedChannel::open(&link.connection).await?))
        };
        let (channel, copies) = soon(opening).await?;
        Ok(Self { topology, link, channel, copies, seen: 0, total: None })
    }

    /// One after the other, each once. Those that are neither acknowledged nor requeued go back.
    pub(crate) async fn next(&mut self) -> Result<Option<(Parked, Delivery)>> {
        if self.seen >= self.total.unwrap_or(MOST).min(MOST) {
            return Ok(None);
        }
        let parked = self.topology.parked.as_str();
        let fetched = soon(async { Ok(self.channel.basic_get(parked.into(), BasicGetOptions::default()).await?) });
        let Some(fetched) = fetched.await? else { return Ok(None) };
        self.seen += 1;
        self.total.get_or_insert(fetched.message_count.saturating_add(1));
        Ok(Some((Parked::of(&fetched.delivery), fetched.delivery)))
    }

    pub(crate) fn total(&self) -> u32 {
        self.total.unwrap_or(0)
    }

    /// The same message to the workers, as if it had never been parked. It leaves this queue when it is
    /// safely in theirs: killed between the two, it is in both.
    pub(crate) async fn requeue(&self, delivery: &Delivery) -> Result<()> {
        let properties = copy::properties(&delivery.properties, []);
        let to = To { exchange: self.topology.exchange.as_str(), routing_key: ROUTING_KEY, mandatory: true };
        let publishing = async { Ok(self.copies.publish(to, &delivery.data, properties).await?.await?) };
        match soon(publishing).await.context(IN_DOUBT)? {
            Confirmation::Ack(None) => self.ack(delivery).await.context(IN_DOUBT),
            Confirmation::Ack(Some(_)) => {
                bail!("the broker has no queue {}: an api or a worker that starts makes it", self.topology.queue)
            }
            _ => bail!("the broker did not take the message"),
        }
    }

    pub(crate) async fn ack(&self, delivery: &Delivery) -> Result<()> {
        let acked = soon(async { Ok(delivery.ack(BasicAckOptions::default()).await?) }).await?;
        if acked { Ok(()) } else { bail!("the connection to the broker broke: look again with `worker parked list`") }
    }

    /// Gives back what is still in our hands, in its order. (What a connection leaves behind when it ends is
    /// not lost either, but in disorder: for a quorum queue each fetch is a consumer of its own.)
    pub(crate) async fn close(self) {
        let all = BasicNackOptions { multiple: true, requeue: true };
        // If the broker does not answer, the end of the process says the same.
        let _ = soon(async { Ok(self.channel.basic_nack(0, all).await?) }).await;
        self.link.close().await;
    }
}

async fn soon<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || format!("the broker did not answer within {TIMEOUT:?}: is it short of memory or disk?");
    tokio::time::timeout(TIMEOUT, work).await.with_context(late)?
}
