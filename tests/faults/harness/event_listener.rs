//! Another service, which hears of all that happens: what it heard is compared with what the database holds.

use std::collections::HashSet;

use lapin::{
    options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use shared::amqp::{Link, topology::Topology};
use tokio_postgres::Client;

use crate::harness::{checker::Report, environment::Environment};

/// Everything there must have been an event about.
const DEEDS: &str =
    "SELECT 'user.registered ' || id FROM registrations UNION ALL SELECT 'user.activated ' || id FROM users";

pub(crate) struct Listener {
    amqp_url: String,
    queue: String,
}

impl Listener {
    /// A queue that outlives the broker's restarts.
    pub(crate) async fn bind(environment: &Environment) -> Self {
        let listener =
            Self { amqp_url: environment.amqp_url.clone(), queue: format!("{}.listener", environment.prefix) };
        let link = listener.link().await;
        let topology = Topology::new(&environment.prefix);
        topology.declare_events(&link.connection).await.unwrap();
        let channel = link.connection.create_channel().await.unwrap();
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(listener.queue.as_str().into(), durable, quorum).await.unwrap();
        let (queue, exchange) = (listener.queue.as_str().into(), topology.events.as_str().into());
        let plain = FieldTable::default();
        channel.queue_bind(queue, exchange, "user.*".into(), QueueBindOptions::default(), plain).await.unwrap();
        link.close().await;
        listener
    }

    async fn link(&self) -> Link {
        shared::amqp::connect(&self.amqp_url.clone().into(), "vestibule faults: listener").await.unwrap()
    }

    /// No deed without its event, and no event without its deed. More than once is at least once.
    pub(crate) async fn account(self, report: &mut Report, client: &Client) {
        let rows = client.query(DEEDS, &[]).await.unwrap();
        let deeds: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let heard = self.heard().await;
        report.lost.extend(deeds.difference(&heard).map(|deed| format!("the event {deed}")));
        report.unexpected.extend(heard.difference(&deeds).map(|event| format!("the event {event}")));
    }

    async fn heard(&self) -> HashSet<String> {
        let link = self.link().await;
        let channel = link.connection.create_channel().await.unwrap();
        let mut heard = HashSet::new();
        let taken = BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(self.queue.as_str().into(), taken).await.unwrap() {
            let event: serde_json::Value = serde_json::from_slice(&message.delivery.data).unwrap();
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            heard.insert(format!("{} {}", text("type"), text("subject")));
        }
        link.close().await;
        heard
    }
}
