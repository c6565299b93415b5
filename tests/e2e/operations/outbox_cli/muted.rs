//! What nobody is mailed has an end on record, too.

use lapin::options::QueueDeleteOptions;
use serde_json::json;

use super::{ADA, outbox};
use crate::registration::not_me::{link, press};
use support::stack::Stack;

/// A code that nobody is mailed must have an end on record, too: its receipt would tell.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_muted_is_lost_and_found_like_any_other() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
    let link = link(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(press(&stack.client, &link, "").await.status, 200);
    worker.stop().await.unwrap();
    let registration = stack.client.register(ADA).await.registration();
    stack.queue_holds(&stack.topology.queue, 1).await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    let queue = stack.topology.queue.as_str();
    stack.amqp().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    stack.start_worker(&[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 1, "welcomes": 0, "warnings": 0, "unreadable": 0 }));
    stack.client.receipt_when(&registration, "sent").await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
}
