//! Another service that subscribes to events: an exclusive queue bound to the event exchange, deleted with its
//! connection.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicGetOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use serde_json::Value;

use crate::{database, stack::Stack};

/// A subscriber of the events of one stack.
pub struct EventSubscriber {
    _connection: Connection,
    channel: Channel,
    queue: String,
}

/// One event as it was received.
pub struct ReceivedEvent {
    pub event: Value,
    pub routing_key: String,
    pub properties: BasicProperties,
}

impl EventSubscriber {
    /// Subscribes to the event types that match this routing-key pattern.
    pub async fn subscribe(stack: &Stack, types: &str) -> Self {
        Self::subscribe_with(stack, types, FieldTable::default()).await
    }

    /// The same, with arguments for the queue. Declares the exchange, so no API needs to run yet.
    pub async fn subscribe_with(stack: &Stack, types: &str, arguments: FieldTable) -> Self {
        let url = database::server_url("AMQP_URL");
        let connection =
            Connection::connect(&url, ConnectionProperties::default()).await.expect("RabbitMQ at AMQP_URL");
        stack.topology.declare_events(&connection).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let queue = database::random_id();
        let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
        channel.queue_declare(queue.as_str().into(), exclusive, arguments).await.unwrap();
        let exchange = stack.topology.events.as_str().into();
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange,
                types.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
        Self { _connection: connection, channel, queue }
    }

    /// Waits for the next event.
    pub async fn next(&self) -> ReceivedEvent {
        let wait = async {
            loop {
                if let Some(event) = self.try_next().await {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(40), wait).await.expect("an event")
    }

    /// Waits for this number of events; there must be no more.
    pub async fn receive_exactly(&self, events: usize) -> Vec<ReceivedEvent> {
        let mut received = Vec::new();
        while received.len() < events {
            received.push(self.next().await);
        }
        assert!(self.try_next().await.is_none(), "more than {events} events");
        received
    }

    /// The next event that is in the queue now.
    async fn try_next(&self) -> Option<ReceivedEvent> {
        let message = self.channel.basic_get(self.queue.as_str().into(), BasicGetOptions::default()).await.unwrap()?;
        let delivery = message.delivery;
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        Some(ReceivedEvent {
            event: serde_json::from_slice(&delivery.data).unwrap(),
            routing_key: delivery.routing_key.to_string(),
            properties: delivery.properties,
        })
    }

    /// The number of events in the queue.
    pub async fn queue_length(&self) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        self.channel
            .queue_declare(self.queue.as_str().into(), passive, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    }

    /// Deletes the queue.
    pub async fn delete_queue(self) {
        self.channel.queue_delete(self.queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
}
