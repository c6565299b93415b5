//! A service that listens to events: a queue of its own at the exchange, gone with its connection.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use serde_json::Value;

use crate::{database, stack::Stack};

pub struct Listener {
    _connection: Connection,
    channel: Channel,
    queue: String,
}

pub struct ReceivedEvent {
    pub event: Value,
    pub routing_key: String,
    pub properties: BasicProperties,
}

impl Listener {
    pub async fn to(stack: &Stack, types: &str) -> Self {
        Self::with(stack, types, FieldTable::default()).await
    }

    /// Before any process of ours has come up, too.
    pub async fn with(stack: &Stack, types: &str, arguments: FieldTable) -> Self {
        let url = database::server("AMQP_URL");
        let connection =
            Connection::connect(&url, ConnectionProperties::default()).await.expect("RabbitMQ at AMQP_URL");
        stack.topology.declare_events(&connection).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let (queue, own) = (database::random_id(), QueueDeclareOptions { exclusive: true, ..Default::default() });
        channel.queue_declare(queue.as_str().into(), own, arguments).await.unwrap();
        let (name, exchange) = (queue.as_str().into(), stack.topology.events.as_str().into());
        let plain = FieldTable::default();
        channel.queue_bind(name, exchange, types.into(), QueueBindOptions::default(), plain).await.unwrap();
        Self { _connection: connection, channel, queue }
    }

    pub async fn next(&self) -> ReceivedEvent {
        let wait = async {
            loop {
                if let Some(heard) = self.heard().await {
                    return heard;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(40), wait).await.expect("an event")
    }

    /// So many, and that is all there are.
    pub async fn hears(&self, events: usize) -> Vec<ReceivedEvent> {
        let mut heard = Vec::new();
        while heard.len() < events {
            heard.push(self.next().await);
        }
        assert!(self.heard().await.is_none(), "more than {events}");
        heard
    }

    async fn heard(&self) -> Option<ReceivedEvent> {
        let message = self.channel.basic_get(self.queue.as_str().into(), BasicGetOptions::default()).await.unwrap()?;
        let delivery = message.delivery;
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        let (event, routing_key) = (serde_json::from_slice(&delivery.data).unwrap(), delivery.routing_key.to_string());
        Some(ReceivedEvent { event, routing_key, properties: delivery.properties })
    }

    /// How many wait to be heard.
    pub async fn waiting(&self) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        self.channel
            .queue_declare(self.queue.as_str().into(), passive, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    }

    pub async fn leave(self) {
        self.channel.queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
}
