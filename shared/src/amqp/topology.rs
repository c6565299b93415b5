//! The exchanges and queues in RabbitMQ: their names and their declarations. A message in a retry queue returns to the
//! work queue when the delay of that queue has passed; the parked queue holds dead letters.

use anyhow::{Context, Result};
use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use crate::messages::MailQueue;

/// The retry delays in seconds; each has its own retry queue.
pub const RETRY_SECONDS: [u32; 4] = [1, 5, 15, 60];

/// How often a message may be redelivered after a consumer crash before it is parked.
///
/// The limit is high because the deadline of a mail also ends redelivery, and leaves a record. It is set explicitly
/// because RabbitMQ 4 otherwise uses a limit of 20 and would park messages that can still be delivered.
const DELIVERY_LIMIT: i32 = 10_000;

/// The AMQP reply code for declaring an existing queue with different arguments.
const PRECONDITION_FAILED: u16 = 406;

/// The names of the exchanges and queues with one prefix.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The direct exchange of mail messages.
    pub exchange: String,
    /// The topic exchange of account events; other applications bind their own queues to it.
    pub events: String,
    /// The queue of mails that people wait for.
    pub codes: WorkQueue,
    /// The queue of notices.
    pub notices: WorkQueue,
    /// The dead-letter queue of both: messages that the worker cannot process wait there for an operator.
    pub parked: String,
}

/// A queue that the worker consumes, with its retry queues.
#[derive(Clone, Debug)]
pub struct WorkQueue {
    pub name: String,
    pub routing_key: &'static str,
}

impl WorkQueue {
    fn new(prefix: &str, queue: MailQueue) -> Self {
        let routing_key = queue.routing_key();
        Self { name: format!("{prefix}.{routing_key}"), routing_key }
    }

    /// The name of the retry queue with this delay.
    pub fn retry_queue(&self, seconds: u32) -> String {
        format!("{}.retry.{seconds}", self.name)
    }
}

impl Topology {
    /// The topology with this prefix (`AMQP_PREFIX`).
    pub fn new(prefix: &str) -> Self {
        let codes = WorkQueue::new(prefix, MailQueue::Codes);
        Self {
            exchange: prefix.to_owned(),
            events: format!("{prefix}.events"),
            parked: format!("{}.parked", codes.name),
            codes,
            notices: WorkQueue::new(prefix, MailQueue::Notices),
        }
    }

    /// The queue of these mails.
    pub fn work_queue(&self, queue: MailQueue) -> &WorkQueue {
        match queue {
            MailQueue::Codes => &self.codes,
            MailQueue::Notices => &self.notices,
        }
    }

    /// Declares everything that mails need. Idempotent; either process may do it first.
    pub async fn declare(&self, connection: &Connection) -> Result<()> {
        let channel = &connection.create_channel().await?;
        declare_exchange(channel, &self.exchange, ExchangeKind::Direct).await?;
        self.declare_parked(connection).await?;
        for queue in MailQueue::ALL {
            self.declare_work_queue(channel, self.work_queue(queue)).await?;
        }
        Ok(())
    }

    /// Declares a queue that the worker consumes, and its retry queues.
    async fn declare_work_queue(&self, channel: &Channel, queue: &WorkQueue) -> Result<()> {
        // A message that repeatedly crashes its consumer is dead-lettered to the parked queue through the default
        // exchange.
        let mut arguments = dead_letter_to("", &self.parked);
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        self.declare_queue(channel, &queue.name, arguments).await?;
        let (name, exchange) = (queue.name.as_str().into(), self.exchange.as_str().into());
        channel
            .queue_bind(name, exchange, queue.routing_key.into(), QueueBindOptions::default(), FieldTable::default())
            .await?;

        for seconds in RETRY_SECONDS {
            let mut arguments = dead_letter_to(&self.exchange, queue.routing_key);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(i64::from(seconds) * 1000));
            self.declare_queue(channel, &queue.retry_queue(seconds), arguments).await?;
        }
        Ok(())
    }

    /// Declares the exchange of account events. Uses a channel of its own, because the broker closes the channel if the
    /// user may not declare the exchange; mails do not need it.
    pub async fn declare_events(&self, connection: &Connection) -> Result<()> {
        let channel = connection.create_channel().await?;
        declare_exchange(&channel, &self.events, ExchangeKind::Topic).await?;
        Ok(channel.close(200, "bye".into()).await?)
    }

    /// Declares the parked queue. An existing queue without the delivery limit, declared by an older version, is used
    /// as it is; the broker closes the channel in that case, so this uses a channel of its own.
    async fn declare_parked(&self, connection: &Connection) -> Result<()> {
        let channel = connection.create_channel().await?;
        let mut arguments = FieldTable::default();
        // Each time an operator lists the queue, its messages are requeued, which counts as a redelivery.
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        match self.declare_queue(&channel, &self.parked, arguments).await {
            Err(error) if error.downcast_ref().is_some_and(exists_with_other_arguments) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Ok(channel.close(200, "bye".into()).await?),
        }
    }

    /// Declares a durable quorum queue.
    async fn declare_queue(&self, channel: &Channel, name: &str, mut arguments: FieldTable) -> Result<()> {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.into(), durable, arguments).await.with_context(|| {
            format!("cannot declare the queue {name} (if it exists with other arguments, delete it first)")
        })?;
        Ok(())
    }
}

/// Declares a durable exchange.
async fn declare_exchange(channel: &Channel, exchange: &str, kind: ExchangeKind) -> Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await.with_context(|| {
        format!("cannot declare the exchange {exchange} (if it exists with another type, delete it first)")
    })
}

fn exists_with_other_arguments(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == PRECONDITION_FAILED)
}

/// Arguments of a queue that dead-letters at least once. The default, at most once, loses messages while the target
/// queue is unavailable.
fn dead_letter_to(exchange: &str, routing_key: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-dead-letter-exchange", exchange),
        ("x-dead-letter-routing-key", routing_key),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-overflow", "reject-publish"),
    ] {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    arguments
}

/// The message header with the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
