//! A consumer that the broker has forgotten without a word.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;

use support::stack::{self, Stack};

/// RabbitMQ 3 tells a consumer nothing of a quorum queue that is deleted and declared again within some
/// 20 ms: it stands as the new queue's, has as many messages in hand as it may, and never sees one.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_and_declared_at_once_is_heard_again() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    stack.start_worker(&[]).await;
    api.client.register("before@example.com").await;
    stack.database.becomes("SELECT count(*) FROM deliveries", 1).await;

    let (connection, channel, queue) = (stack::broker().await, stack.amqp().await, stack.topology.queue.as_str());
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    stack.topology.declare(&connection).await.unwrap();
    for n in 0..20 {
        assert_eq!(api.client.register(&format!("after{n}@example.com")).await.status, 202);
    }
    let delivered = async || stack.database.count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'").await;
    let all = async {
        while delivered().await < 21 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(40), all).await;
    assert!(in_time.is_ok(), "{} of 21 are delivered", delivered().await);
}
