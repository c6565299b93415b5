//! The names in RabbitMQ, and how they are declared.

use anyhow::{Context, Result};
use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// All kinds of message go through one queue: the kind stands in the body.
pub const ROUTING_KEY: &str = "send-code";

/// The pauses that a message can be sent to before it is tried again.
pub const RETRY_SECONDS: [u32; 4] = [1, 5, 15, 60];

/// How often a message may come back because its consumer died. High, because the deadline of the code
/// ends that too, on record; but not left out, for then 4.x counts to 20 and parks what can still be sent.
const DELIVERY_LIMIT: i32 = 10_000;

/// What AMQP says to who declares what is there with other arguments.
const PRECONDITION_FAILED: u16 = 406;

#[derive(Clone, Debug)]
pub struct Topology {
    pub exchange: String,
    /// Where others hear what happened: to be bound to, by them.
    pub events: String,
    pub queue: String,
    pub parked: String,
}

impl Topology {
    pub fn new(prefix: &str) -> Self {
        let queue = format!("{prefix}.{ROUTING_KEY}");
        let (exchange, events) = (prefix.to_owned(), format!("{prefix}.events"));
        Self { exchange, events, parked: format!("{queue}.parked"), queue }
    }

    pub fn retry_queue(&self, seconds: u32) -> String {
        format!("{}.retry.{seconds}", self.queue)
    }

    /// Declares all that mails need. Either process may come first; doing it again changes nothing.
    pub async fn declare(&self, connection: &Connection) -> Result<()> {
        let channel = &connection.create_channel().await?;
        declare_exchange(channel, &self.exchange, ExchangeKind::Direct).await?;
        self.declare_parked(connection).await?;

        // What crashes its consumers again and again ends among the parked, by way of the default exchange.
        let mut work = dead_letters_to("", &self.parked);
        work.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        self.declare_queue(channel, &self.queue, work).await?;
        let (queue, exchange, plain) = (self.queue.as_str(), self.exchange.as_str(), FieldTable::default());
        channel
            .queue_bind(queue.into(), exchange.into(), ROUTING_KEY.into(), QueueBindOptions::default(), plain)
            .await?;

        for seconds in RETRY_SECONDS {
            let mut pause = dead_letters_to(&self.exchange, ROUTING_KEY);
            pause.insert("x-message-ttl".into(), AMQPValue::LongLongInt(i64::from(seconds) * 1000));
            self.declare_queue(channel, &self.retry_queue(seconds), pause).await?;
        }
        Ok(())
    }

    /// On a channel of its own, which the broker closes over an exchange that we may not have: no mail needs it.
    pub async fn declare_events(&self, connection: &Connection) -> Result<()> {
        let channel = connection.create_channel().await?;
        declare_exchange(&channel, &self.events, ExchangeKind::Topic).await?;
        Ok(channel.close(200, "bye".into()).await?)
    }

    /// One that an older version declared, without the limit, is taken as it is. On a channel of its own, which
    /// the broker closes over that.
    async fn declare_parked(&self, connection: &Connection) -> Result<()> {
        let channel = connection.create_channel().await?;
        let mut limit = FieldTable::default();
        // An operator who looks at a message is counted like a consumer that died.
        limit.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        match self.declare_queue(&channel, &self.parked, limit).await {
            Err(error) if error.downcast_ref().is_some_and(is_there_in_another_form) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Ok(channel.close(200, "bye".into()).await?),
        }
    }

    async fn declare_queue(&self, channel: &Channel, name: &str, mut arguments: FieldTable) -> Result<()> {
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(name.into(), durable, arguments).await.with_context(|| {
            format!("cannot declare the queue {name} (one of that name with other arguments must be deleted first)")
        })?;
        Ok(())
    }
}

async fn declare_exchange(channel: &Channel, exchange: &str, kind: ExchangeKind) -> Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await.with_context(|| {
        format!("cannot declare the exchange {exchange} (one of that name of another kind must be deleted first)")
    })
}

fn is_there_in_another_form(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == PRECONDITION_FAILED)
}

/// At-most-once dead-lettering, the default, loses messages when the target is away.
fn dead_letters_to(exchange: &str, routing_key: &str) -> FieldTable {
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

/// The header that carries the trace.
pub const TRACEPARENT: &str = "traceparent";
