//! RabbitMQ client of the benches: counts, publishes and purges messages.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{
        BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
        QueueDeleteOptions, QueuePurgeOptions,
    },
    types::{AMQPValue, FieldTable},
};
use shared::amqp::{
    Link,
    topology::{RETRY_SECONDS, TRACEPARENT, Topology},
};
use shared::messages::Message;
use uuid::Uuid;

use crate::environment::context::BenchContext;

/// Unconfirmed messages in flight, as many as the relay has.
const MAX_IN_FLIGHT: usize = 1_000;

/// How long a message in the queue takes to arrive at most.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to RabbitMQ and the topology of one deployment.
pub(crate) struct Broker {
    link: Link,
    channel: Channel,
    pub(crate) topology: Topology,
}

impl Broker {
    /// Opens a connection and declares all exchanges and queues of the service.
    pub(crate) async fn open(url: &str, prefix: &str) -> Result<Self> {
        let link = shared::amqp::connect(&url.to_owned().into(), "vestibule bench").await?;
        let topology = Topology::new(prefix);
        topology.declare(&link.connection).await?;
        let channel = link.connection.create_channel().await?;
        Ok(Self { link, channel, topology })
    }

    /// The number of messages that are ready in the queue.
    pub(crate) async fn waiting(&self) -> Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = self.topology.codes.name.as_str();
        Ok(self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
    }

    /// Deletes all messages in the queue.
    pub(crate) async fn purge(&self) -> Result<()> {
        self.channel.queue_purge(self.topology.codes.name.as_str().into(), QueuePurgeOptions::default()).await?;
        Ok(())
    }

    /// Takes all messages out of the queue, and returns their ids.
    pub(crate) async fn take_ids(&self) -> Result<Vec<Uuid>> {
        let count = self.waiting().await?;
        let channel = self.link.connection.create_channel().await?;
        let no_ack = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let queue = self.topology.codes.name.as_str();
        let mut messages = channel.basic_consume(queue.into(), "bench".into(), no_ack, FieldTable::default()).await?;
        let mut ids = Vec::new();
        for _ in 0..count {
            let message =
                tokio::time::timeout(MESSAGE_TIMEOUT, messages.next()).await.context("a message is missing")?;
            let message = message.context("the consumer was cancelled")??;
            let id = message.properties.message_id().as_ref().context("a message has no id")?;
            ids.push(id.as_str().parse()?);
        }
        channel.close(200, "taken".into()).await?;
        Ok(ids)
    }

    /// Publishes like the relay: persistent, mandatory, confirmed, with up to [`MAX_IN_FLIGHT`] unconfirmed messages.
    pub(crate) async fn publish(&self, messages: &[Message]) -> Result<()> {
        self.channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        let exchange = self.topology.exchange.as_str();
        let mut in_flight = FuturesUnordered::new();
        for message in messages {
            if in_flight.len() == MAX_IN_FLIGHT {
                check_confirm(in_flight.next().await)?;
            }
            let body = message.to_json().to_string();
            let publishing = self.channel.basic_publish(
                exchange.into(),
                self.topology.codes.routing_key.into(),
                mandatory,
                body.as_bytes(),
                properties(message),
            );
            in_flight.push(publishing.await?);
        }
        while let Some(confirm) = in_flight.next().await {
            check_confirm(Some(confirm))?;
        }
        Ok(())
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        self.link.close().await;
    }
}

fn check_confirm(confirm: Option<lapin::Result<Confirmation>>) -> Result<()> {
    match confirm {
        Some(Ok(Confirmation::Ack(None))) | None => Ok(()),
        Some(other) => bail!("the broker did not confirm a message: {other:?}"),
    }
}

/// The same properties as those that the relay sets.
fn properties(message: &Message) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(TRACEPARENT.into(), AMQPValue::LongString(crate::load::users::TRACEPARENT.into()));
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(message.id.to_string().into())
        .with_headers(headers)
}

/// Deletes all exchanges and queues with this prefix.
pub(crate) async fn delete(context: &BenchContext, prefix: &str) -> Result<()> {
    let link = shared::amqp::connect(&context.amqp_url.clone().into(), "vestibule bench").await?;
    let channel = link.connection.create_channel().await?;
    let topology = Topology::new(prefix);
    let mut queues = vec![topology.parked.clone()];
    for queue in [&topology.codes, &topology.notices] {
        queues.push(queue.name.clone());
        queues.extend(RETRY_SECONDS.map(|seconds| queue.retry_queue(seconds)));
    }
    for queue in queues {
        channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    }
    for exchange in [&topology.exchange, &topology.events] {
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await?;
    }
    link.close().await;
    Ok(())
}

/// Deletes a single queue.
pub(crate) async fn delete_queue(context: &BenchContext, name: &str) -> Result<()> {
    let link = shared::amqp::connect(&context.amqp_url.clone().into(), "vestibule bench").await?;
    link.connection.create_channel().await?.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
    link.close().await;
    Ok(())
}
