//! What other services hear of those who are erased.

use crate::operations::secret_leaks::dump;
use support::{event_listener::Listener, stack::Stack};

const ADA: &str = "ada@example.com";

/// Events keep: that somebody came is told even after they went, and the last of them says so. Without the address.
#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_of_it_and_what_waits_is_told_without_the_address() {
    let mut stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[("EVENTS_WITH_EMAIL", "true")]).await;
    stack.start_worker(&[]).await;
    stack.client = api.client.clone();
    let listener = Listener::to(&stack, "user.*").await;
    let (_, code) = stack.sign_up(ADA).await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    api.stop().await.unwrap();
    // Without a broker its relay takes nothing.
    let away = [("AMQP_URL", "amqp://u:p@127.0.0.1:1"), ("EVENTS_WITH_EMAIL", "true")];
    let api = stack.start_api(&away).await;
    let user = api.client.activate(ADA, &code).await.json()["id"].clone();
    let naming = "SELECT count(*) FROM outbox WHERE message #>> '{data,email}' = 'ada@example.com'";
    assert_eq!(stack.database.count(naming).await, 1);
    let token = api.client.token(ADA).await;
    api.stop().await.unwrap();
    // Whatever is wanted by now.
    let api = stack.start_api(&away[..1]).await;
    assert_eq!(api.client.bearer("DELETE", "/v1/users/me", &token).await.status, 204);
    assert!(!dump(&stack, &[]).await.contains(ADA));
    api.stop().await.unwrap();
    stack.start_api(&[("EVENTS_WITH_EMAIL", "true")]).await;
    let heard = listener.hears(3).await;
    let told: Vec<_> =
        heard.iter().map(|one| (one.routing_key.as_str(), one.event["data"]["email"].as_str())).collect();
    assert_eq!(told[0], ("user.registered", Some(ADA)), "she was there");
    assert!(told.contains(&("user.activated", None)) && told.contains(&("user.deleted", None)), "{told:?}");
    assert!(heard[1..].iter().all(|one| one.event["subject"] == user));
}
