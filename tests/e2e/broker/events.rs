//! CloudEvents for other services: one for each committed change, with ids only, and never at the cost of a mail.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use support::{
    client::PASSWORD,
    database::server_url,
    event_subscriber::{EventSubscriber, ReceivedEvent},
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

const ADA: &str = "ada.lovelace@example.com";
const EVENTS: &str = "SELECT count(*) FROM outbox WHERE message ? 'specversion'";
const MAILS: &str = "SELECT count(*) FROM outbox WHERE message ? 'kind'";

/// Checks the attributes that every event has, and returns its type and its data.
fn check(received: &ReceivedEvent) -> (&str, &Value) {
    let ReceivedEvent { event, routing_key, properties } = received;
    let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name}: {event}"));
    assert_eq!((text("specversion"), text("source")), ("1.0", "http://localhost:8000"));
    assert_eq!((text("datacontenttype"), text("type")), ("application/json", routing_key.as_str()));
    assert!(text("time").ends_with('Z') && text("time").contains('T'), "{event}");
    assert!(text("subject").parse::<uuid::Uuid>().is_ok(), "{event}");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), text("id"));
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/cloudevents+json");
    assert_eq!(properties.delivery_mode(), &Some(2));
    let header = &properties.headers().as_ref().unwrap().inner()["traceparent"];
    assert_eq!(header, &AMQPValue::LongString(text("traceparent").into()));
    let mut names: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = ["data", "datacontenttype", "id", "source", "specversion", "subject", "time", "traceparent", "type"];
    assert_eq!(names, expected);
    (text("type"), &event["data"])
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_publishes_two_events_without_email() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let subscriber = EventSubscriber::subscribe(&stack, "user.*").await;
    let deletions = EventSubscriber::subscribe(&stack, "user.deleted").await;
    let registration = stack.client.register_with_key("key", ADA, PASSWORD).await.registration();
    // None of these is a registration: the repeated request, another code, and a rejected request.
    assert_eq!(stack.client.register_with_key("key", ADA, PASSWORD).await.registration(), registration);
    stack.mail_server.mail_to(ADA).await;
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    assert_eq!(stack.client.register_with("not-an-address", PASSWORD).await.status, 422);
    let code = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    stack.client.wait_for_receipt(&registration, "sent").await;
    let user = stack.client.activate(ADA, &code).await;
    assert_eq!(user.status, 200, "{user:?}");
    let user = user.json();
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;

    let events = receive_both(&subscriber).await;
    assert_eq!(check(&events[0]), ("user.registered", &json!({ "registration": registration })));
    assert_eq!(events[0].event["subject"], json!(registration));
    assert_eq!(check(&events[1]), ("user.activated", &json!({ "user": user["id"], "registration": registration })));
    assert_eq!(events[1].event["subject"], user["id"]);
    assert_eq!(events[1].event["time"], user["activated_at"]);
    for ReceivedEvent { event, properties, .. } in &events {
        let text = format!("{event} {properties:?}").to_lowercase();
        assert!(!text.contains("lovelace") && !text.contains('@'), "{text}");
    }
    assert_eq!(deletions.queue_length().await, 0);
}

/// Both events of a user who signed up and activated at once may be published together, and then in any order.
async fn receive_both(subscriber: &EventSubscriber) -> Vec<ReceivedEvent> {
    let mut events = subscriber.receive_exactly(2).await;
    events.sort_by_key(|received| received.event["id"].to_string());
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn events_carry_email_when_configured() {
    let stack = Stack::start_with(&[("EVENTS_WITH_EMAIL", "true")]).await;
    let subscriber = EventSubscriber::subscribe(&stack, "user.*").await;
    let (registration, code) = stack.sign_up(ADA).await;
    let user = stack.client.activate(ADA, &code).await.json();
    let events = receive_both(&subscriber).await;
    assert_eq!(check(&events[0]).1, &json!({ "registration": registration, "email": ADA }));
    assert_eq!(check(&events[1]).1, &json!({ "user": user["id"], "registration": registration, "email": ADA }));
}

/// I-15: a subscriber cannot find out whether the email address of a registration already has an account.
#[tokio::test(flavor = "multi_thread")]
async fn registration_event_hides_existing_account() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    stack.database.age(60).await;
    let subscriber = EventSubscriber::subscribe(&stack, "#").await;
    let mut registrations = Vec::new();
    for email in [ADA, "new@example.com"] {
        registrations.push(stack.client.register_with(email, "a stranger's password").await.registration());
    }
    let events = subscriber.receive_exactly(2).await;
    for registration in registrations {
        let event = events.iter().find(|received| received.event["subject"] == json!(registration)).unwrap();
        assert_eq!(check(event), ("user.registered", &json!({ "registration": registration })));
    }
    stack.mail_server.nth_mail_to(ADA, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_subscriber_are_not_kept() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    // A subscriber that binds its queue later receives only later events.
    let subscriber = EventSubscriber::subscribe(&stack, "#").await;
    stack.sign_up("later@example.com").await;
    assert_eq!(check(&subscriber.receive_exactly(1).await[0]).0, "user.registered");
}

/// Exactly the committed events are published, compared by id.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_published_after_a_broker_outage() {
    let stack = Stack::prepare(&[]).await;
    let subscriber = EventSubscriber::subscribe(&stack, "user.*").await;
    let (proxy, url) = Proxy::in_front_of(&server_url("AMQP_URL")).await;
    let api = stack.start_api(&[("AMQP_URL", &url)]).await;
    api.wait_until_all_checks_pass().await;
    proxy.set(ProxyMode::Closed);
    let mut registrations = HashSet::new();
    for n in 0..5 {
        registrations.insert(api.client.register(&format!("u{n}@example.com")).await.registration());
    }
    let rows = stack.database.client().query("SELECT id::text FROM outbox WHERE message ? 'specversion'", &[]).await;
    let committed: HashSet<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!((committed.len(), subscriber.queue_length().await), (5, 0));
    proxy.set(ProxyMode::Open);
    let events = subscriber.receive_exactly(5).await;
    let text = |received: &ReceivedEvent, name: &str| received.event[name].as_str().unwrap().to_owned();
    assert_eq!(events.iter().map(|received| text(received, "id")).collect::<HashSet<_>>(), committed);
    assert_eq!(events.iter().map(|received| text(received, "subject")).collect::<HashSet<_>>(), registrations);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
}

/// Starts a proxy to the broker that counts connections: the counter, and the URL of the proxy.
async fn counting_proxy(url: &str) -> (Arc<AtomicU32>, String) {
    let host = url.rsplit('@').next().unwrap().split('/').next().unwrap();
    let target = if host.contains(':') { host.to_owned() } else { format!("{host}:5672") };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_url = url.replacen(host, &listener.local_addr().unwrap().to_string(), 1);
    let connections = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counter.fetch_add(1, SeqCst);
            let target = target.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (connections, proxy_url)
}

/// A full queue of another service must not cost mails their connection or their capacity in the relay.
#[tokio::test(flavor = "multi_thread")]
async fn rejecting_subscriber_queue_delays_no_mail() {
    let stack = Stack::prepare(&[]).await;
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongInt(1));
    full.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let subscriber = EventSubscriber::subscribe_with(&stack, "#", full).await;
    let (connections, url) = counting_proxy(&server_url("AMQP_URL")).await;
    let api = stack.start_api(&[("AMQP_URL", &url)]).await;
    api.wait_until_all_checks_pass().await;
    for n in 0..10 {
        assert_eq!(api.client.register(&format!("u{n}@example.com")).await.status, 202);
    }
    stack.wait_for_queue_length(&stack.topology.codes.name, 10).await;
    stack.database.wait_for_count(MAILS, 0).await;
    // All events were tried, and those that were rejected are postponed.
    let postponed = format!("{EVENTS} AND leased_until > clock_timestamp() + interval '16 s'");
    stack.database.wait_for_count(&postponed, 9).await;
    assert_eq!(stack.database.count(EVENTS).await, 9);
    assert_eq!((connections.load(SeqCst), subscriber.queue_length().await), (1, 1));
    // The older an event is, the longer it is postponed.
    let due = "UPDATE outbox SET leased_until = clock_timestamp(), due_at = clock_timestamp()";
    stack.database.execute(&format!("{due}, created_at = created_at - interval '1 h'"), &[]).await;
    stack.database.wait_for_count(&format!("{EVENTS} AND due_at > clock_timestamp() + interval '5 min'"), 9).await;
    subscriber.delete_queue().await;
    // Under load the broker may confirm too late: then the events are postponed once more.
    while stack.database.count(EVENTS).await > 0 {
        stack.database.execute(&format!("{due} WHERE due_at > clock_timestamp()"), &[]).await;
    }
}
