//! Another service that subscribes to all events; what it received is compared with the database.

use std::collections::HashSet;

use lapin::{
    options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use shared::amqp::{Link, topology::Topology};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::{checker::Report, environment::Environment, lost_commits::LostCommits};

/// Type and subject of every event that must have been published.
const EXPECTED_EVENTS: &str =
    "SELECT 'user.registered ' || id FROM registrations UNION ALL SELECT 'user.activated ' || id FROM users";

/// A durable queue that is bound to the events exchange.
pub(crate) struct EventSubscriber {
    amqp_url: String,
    queue: String,
}

impl EventSubscriber {
    /// Declares and binds a queue that survives restarts of the broker.
    pub(crate) async fn bind(environment: &Environment) -> Self {
        let subscriber =
            Self { amqp_url: environment.amqp_url.clone(), queue: format!("{}.subscriber", environment.prefix) };
        let link = subscriber.connect().await;
        let topology = Topology::new(&environment.prefix);
        topology.declare_events(&link.connection).await.unwrap();
        let channel = link.connection.create_channel().await.unwrap();
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(subscriber.queue.as_str().into(), durable, quorum).await.unwrap();
        let queue = subscriber.queue.as_str().into();
        let exchange = topology.events.as_str().into();
        let options = QueueBindOptions::default();
        channel.queue_bind(queue, exchange, "user.*".into(), options, FieldTable::default()).await.unwrap();
        link.close().await;
        subscriber
    }

    async fn connect(&self) -> Link {
        shared::amqp::connect(&self.amqp_url.clone().into(), "vestibule faults: subscriber").await.unwrap()
    }

    /// Reports expected events that are missing, and events that nothing in the database explains. Duplicates are
    /// accepted: events are published at least once.
    pub(crate) async fn compare(self, report: &mut Report, client: &Client, failover: &LostCommits) {
        let rows = client.query(EXPECTED_EVENTS, &[]).await.unwrap();
        let expected: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let received = self.receive_all().await;
        report.lost.extend(expected.difference(&received).map(|event| format!("the event {event}")));
        let subject = |event: &str| event.split(' ').nth(1).and_then(|id| id.parse::<Uuid>().ok()).unwrap_or_default();
        let unexplained = received.difference(&expected).filter(|event| !failover.lost_subject(subject(event)));
        report.unexpected.extend(unexplained.map(|event| format!("the event {event}")));
    }

    async fn receive_all(&self) -> HashSet<String> {
        let link = self.connect().await;
        let channel = link.connection.create_channel().await.unwrap();
        let mut received = HashSet::new();
        let no_ack = BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(self.queue.as_str().into(), no_ack).await.unwrap() {
            let event: serde_json::Value = serde_json::from_slice(&message.delivery.data).unwrap();
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            received.insert(format!("{} {}", text("type"), text("subject")));
        }
        link.close().await;
        received
    }
}
