//! Queues for one test on the shared broker: publish, count and take messages.

use std::time::Duration;

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use shared::amqp::topology::{RETRY_SECONDS, Topology};

use support::database;

/// The exchanges and queues of one test, deleted at its end.
pub(crate) struct Broker {
    pub(crate) topology: Topology,
    channel: Channel,
    _connection: Connection,
}

impl Broker {
    /// Connects to the shared broker and declares queues with a prefix of their own.
    pub(crate) async fn start() -> Self {
        let connection = connect().await;
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let topology = Topology::new(&format!("test-{}", database::random_id()));
        topology.declare(&connection).await.unwrap();
        Self { topology, channel, _connection: connection }
    }

    /// Publishes a message with the headers of one that was attempted and traced.
    pub(crate) async fn publish(&self, queue: &str, id: Option<&str>, body: &[u8]) {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString("00-trace".into()));
        headers.insert("x-vestibule-attempts".into(), AMQPValue::LongUInt(3));
        if queue == self.topology.parked {
            headers.insert("x-vestibule-why".into(), AMQPValue::LongString("because".into()));
        }
        let mut properties = BasicProperties::default().with_headers(headers);
        if let Some(id) = id {
            properties = properties.with_message_id(id.into());
        }
        self.publish_as(queue, body, properties).await;
    }

    /// Publishes a message with these properties, and waits for the confirm.
    pub(crate) async fn publish_as(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirm = self.channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
        assert_eq!(confirm.await.unwrap(), lapin::Confirmation::Ack(None));
    }

    /// The messages that are ready in a queue; unacknowledged ones do not count.
    pub(crate) async fn count(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
    }

    /// Waits until exactly this number of messages is ready in a queue.
    pub(crate) async fn holds(&self, queue: &str, messages: u32) {
        let wait = async { while self.count(queue).await != messages {} };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| panic!("{queue} never holds {messages}"));
    }

    /// Waits for a message, and removes it.
    pub(crate) async fn take(&self, queue: &str) -> Delivery {
        let wait = async {
            loop {
                let options = BasicGetOptions { no_ack: true };
                if let Some(message) = self.channel.basic_get(queue.into(), options).await.unwrap() {
                    return message.delivery;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("nothing in {queue}"))
    }

    /// Removes all messages, once none is unacknowledged any more: the ids of the parked ones, and of the queued ones.
    pub(crate) async fn drain(&self) -> (Vec<String>, Vec<String>) {
        let mut taken = [Vec::new(), Vec::new()];
        for (queue, ids) in [&self.topology.parked, &self.topology.codes.name].into_iter().zip(&mut taken) {
            // The broker requeues the messages of a killed process when it notices the closed connection.
            let ready = self.settled_count(queue).await;
            for _ in 0..ready {
                let message = self.take(queue).await;
                ids.push(message.properties.message_id().as_ref().unwrap().to_string());
            }
        }
        let [parked, queued] = taken;
        (parked, queued)
    }

    /// The length of a queue, once it has not changed for half a second.
    async fn settled_count(&self, queue: &str) -> u32 {
        let mut last = self.count(queue).await;
        let mut since = tokio::time::Instant::now();
        while since.elapsed() < Duration::from_millis(500) {
            let now = self.count(queue).await;
            if now != last {
                last = now;
                since = tokio::time::Instant::now();
            }
        }
        last
    }

    /// Deletes a queue with its messages.
    pub(crate) async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let topology = self.topology.clone();
        database::run_cleanup(async move {
            let Ok(channel) = connect().await.create_channel().await else { return };
            let retries = RETRY_SECONDS.map(|seconds| topology.codes.retry_queue(seconds));
            for queue in retries.iter().chain([&topology.codes.name, &topology.parked]) {
                let _ = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
            }
            for exchange in [&topology.exchange, &topology.events] {
                let _ = channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await;
            }
        });
    }
}

async fn connect() -> Connection {
    let url = database::server_url("AMQP_URL");
    Connection::connect(&url, ConnectionProperties::default()).await.expect("RabbitMQ at AMQP_URL")
}
