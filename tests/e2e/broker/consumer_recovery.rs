//! The worker notices that its consumer receives nothing any more, and consumes again.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;

use support::stack::{self, Stack};

/// RabbitMQ 3 sends no cancel notification when a quorum queue is deleted and declared again within about 20 ms: the
/// consumer is registered at the new queue, its prefetch limit counts as used up, and it receives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn worker_consumes_again_after_its_queue_is_recreated() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    stack.start_worker(&[]).await;
    api.client.register("before@example.com").await;
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 1).await;

    let connection = stack::connect_broker().await;
    let channel = stack.open_channel().await;
    let queue = stack.topology.codes.name.as_str();
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    stack.topology.declare(&connection).await.unwrap();
    for n in 0..20 {
        assert_eq!(api.client.register(&format!("after{n}@example.com")).await.status, 202);
    }
    let count_delivered =
        async || stack.database.count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'").await;
    let all_delivered = async {
        while count_delivered().await < 21 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(40), all_delivered).await;
    assert!(waited.is_ok(), "{} of 21 are delivered", count_delivered().await);
}
