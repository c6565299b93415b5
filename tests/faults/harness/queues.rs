//! Waits until the outbox and all queues are empty, and every message has a recorded outcome.

use std::time::Duration;

use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};
use shared::amqp::topology::{RETRY_SECONDS, Topology};
use tokio::time::{Instant, sleep};

use crate::harness::environment::Environment;

/// Longer than the longest retry delay of a message plus the longest timeout of a worker.
const TIMEOUT: Duration = Duration::from_secs(180);

const MESSAGES_WITHOUT_OUTCOME: &str = "SELECT count(*) FROM (SELECT id FROM codes UNION ALL SELECT id FROM users) m \
    WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = m.id)";

/// Returns what is left over after a timeout, or nothing as soon as all is empty.
///
/// Messages without a recorded outcome are not among it: the checker reports them by id.
pub(crate) async fn wait_until_empty(environment: &Environment, parked: u32) -> Vec<String> {
    let client = environment.client().await;
    let deadline = Instant::now() + TIMEOUT;
    let link = shared::amqp::connect(&environment.amqp_url.clone().into(), "vestibule faults").await.unwrap();
    let channel = link.connection.create_channel().await.unwrap();
    loop {
        let left_over = left_over(&channel, &Topology::new(&environment.prefix), parked).await;
        let without_outcome: i64 = client.query_one(MESSAGES_WITHOUT_OUTCOME, &[]).await.unwrap().get(0);
        let all_done = without_outcome == 0 && environment.outbox_rows().await == 0 && left_over.is_empty();
        if all_done || Instant::now() > deadline {
            return left_over;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// A description of each queue that does not hold the expected number of messages.
async fn left_over(channel: &Channel, topology: &Topology, parked: u32) -> Vec<String> {
    let retries = RETRY_SECONDS.map(|seconds| (topology.codes.retry_queue(seconds), 0));
    let mut left_over = Vec::new();
    for (queue, expected) in
        [(topology.codes.name.clone(), 0), (topology.parked.clone(), parked)].into_iter().chain(retries)
    {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let found = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await.unwrap();
        if found.message_count() != expected {
            left_over.push(format!("{} messages in {queue}", found.message_count()));
        }
    }
    left_over
}
