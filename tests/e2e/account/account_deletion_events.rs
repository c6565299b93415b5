//! Events about deleted users.

use crate::operations::secret_leaks::dump;
use support::{event_subscriber::EventSubscriber, stack::Stack};

const ADA: &str = "ada@example.com";

/// Events that wait in the outbox when the user is deleted are still published, followed by `user.deleted`, but without
/// the email address. Events that were published before keep it.
#[tokio::test(flavor = "multi_thread")]
async fn pending_events_of_a_deleted_user_lose_the_address() {
    let mut stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[("EVENTS_WITH_EMAIL", "true")]).await;
    stack.start_worker(&[]).await;
    stack.client = api.client.clone();
    let subscriber = EventSubscriber::subscribe(&stack, "user.*").await;
    let (_, code) = stack.sign_up(ADA).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    api.stop().await.unwrap();
    // This API's relay has no broker, so the event stays in the outbox.
    let without_broker = [("AMQP_URL", "amqp://u:p@127.0.0.1:1"), ("EVENTS_WITH_EMAIL", "true")];
    let api = stack.start_api(&without_broker).await;
    let user = api.client.activate(ADA, &code).await.json()["id"].clone();
    let with_email = "SELECT count(*) FROM outbox WHERE message #>> '{data,email}' = 'ada@example.com'";
    assert_eq!(stack.database.count(with_email).await, 1);
    api.stop().await.unwrap();
    // The API that deletes does not have EVENTS_WITH_EMAIL set: the email address is removed all the same.
    let api = stack.start_api(&without_broker[..1]).await;
    assert_eq!(api.client.delete_account(ADA).await.status, 204);
    // The notice to the owner waits, as there is no broker; nothing else knows the address.
    assert_eq!(stack.database.execute("DELETE FROM account_deletions", &[]).await, 1);
    assert!(!dump(&stack, &[]).await.contains(ADA));
    api.stop().await.unwrap();
    stack.start_api(&[("EVENTS_WITH_EMAIL", "true")]).await;
    let received = subscriber.receive_exactly(3).await;
    let emails: Vec<_> =
        received.iter().map(|event| (event.routing_key.as_str(), event.event["data"]["email"].as_str())).collect();
    assert_eq!(emails[0], ("user.registered", Some(ADA)), "published before the deletion");
    assert!(emails.contains(&("user.activated", None)) && emails.contains(&("user.deleted", None)), "{emails:?}");
    assert!(received[1..].iter().all(|event| event.event["subject"] == user));
}
