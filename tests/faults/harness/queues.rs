//! Waits until every message is somewhere for good, and nothing is left on the way.

use std::time::Duration;

use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};
use shared::amqp::topology::{RETRY_SECONDS, Topology};
use tokio::time::{Instant, sleep};

use crate::harness::environment::Environment;

/// The longest pause of a message, and the longest patience of a worker, with room.
const PATIENCE: Duration = Duration::from_secs(180);

const WITHOUT_END: &str = "SELECT count(*) FROM (SELECT id FROM codes UNION ALL SELECT id FROM users) m \
    WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id)";

/// What is left over in the end: nothing, if all is well. What has no end on record the checker tells by id.
pub(crate) async fn come_to_rest(environment: &Environment, parked: u32) -> Vec<String> {
    let (client, until) = (environment.client().await, Instant::now() + PATIENCE);
    let link = shared::amqp::connect(&environment.amqp_url.clone().into(), "vestibule faults").await.unwrap();
    let channel = link.connection.create_channel().await.unwrap();
    loop {
        let left_over = left_over(&channel, &Topology::new(&environment.prefix), parked).await;
        let unrecorded: i64 = client.query_one(WITHOUT_END, &[]).await.unwrap().get(0);
        let at_rest = unrecorded == 0 && environment.outbox().await == 0 && left_over.is_empty();
        if at_rest || Instant::now() > until {
            return left_over;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn left_over(channel: &Channel, topology: &Topology, parked: u32) -> Vec<String> {
    let retries = RETRY_SECONDS.map(|seconds| (topology.retry_queue(seconds), 0));
    let mut left_over = Vec::new();
    for (queue, expected) in [(topology.queue.clone(), 0), (topology.parked.clone(), parked)].into_iter().chain(retries)
    {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let found = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await.unwrap();
        if found.message_count() != expected {
            left_over.push(format!("{} messages in {queue}", found.message_count()));
        }
    }
    left_over
}
