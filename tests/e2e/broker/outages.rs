//! A broker that goes away, falls silent, repeats itself, or holds what it should not.

use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::json;

use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::{Proxy, ProxyMode},
    scrape::Scrape,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_away_registrations_are_taken_and_mailed_later() {
    let stack = Stack::prepare(&[]).await;
    let amqp = support::database::server("AMQP_URL");
    let (to_api, api_url) = Proxy::before(&amqp).await;
    let (to_worker, worker_url) = Proxy::before(&amqp).await;
    let api = stack.start_api(&[("AMQP_URL", &api_url)]).await;
    stack.start_worker(&[("AMQP_URL", &worker_url)]).await;
    api.client.register("before@example.com").await;
    stack.mail_server.mail_to("before@example.com").await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;

    for proxy in [&to_api, &to_worker] {
        proxy.set(ProxyMode::Cut);
    }
    let mut registrations = Vec::new();
    for n in 0..10 {
        let answer = api.client.register(&format!("during{n}@example.com")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        registrations.push(answer.registration());
    }
    let health = api.client.get("/health").await;
    assert_eq!((health.status, &health.json()["checks"]["broker"]), (503, &json!("failing")));
    // But nobody is to be kept from registering. Who asks at once may hear how it was a second ago.
    Scrape::when(&api.ops, |scrape| scrape.value(r#"check_ok{part="api",check="broker"}"#) == 0.0).await;
    let (status, said) = api.asked_if_ready().await;
    assert!(status == 200 && said.contains(r#""broker":"failing""#), "{said}");
    // A mail and an event for each.
    assert_eq!(stack.database.count("SELECT count(*) FROM outbox").await, 20);
    for proxy in [&to_api, &to_worker] {
        proxy.set(ProxyMode::Open);
    }
    for (n, registration) in registrations.iter().enumerate() {
        let code = stack.mail_server.mail_to(&format!("during{n}@example.com")).await.code();
        api.client.receipt_when(registration, "sent").await;
        assert_eq!(api.client.activate(&format!("during{n}@example.com"), &code).await.status, 200);
    }
}

/// A network that swallows everything without a word is noticed too, and publishing goes on elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_that_never_comes_loses_nothing() {
    let stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::before(&support::database::server("AMQP_URL")).await;
    let api = stack.start_api(&[("AMQP_URL", &url)]).await;
    stack.start_worker(&[]).await;
    api.client.register("before@example.com").await;
    stack.mail_server.mail_to("before@example.com").await;
    proxy.set(ProxyMode::Held);
    assert_eq!(api.client.register(ADA).await.status, 202);
    // Another API's relay shares the outbox: what the first one holds on lease, it gives back.
    let other = stack.start_api(&[]).await;
    assert_eq!(other.client.register("other@example.com").await.status, 202);
    stack.mail_server.mail_to("other@example.com").await;
    stack.mail_server.mail_to(ADA).await;
    proxy.set(ProxyMode::Open);
}

/// I-17.
#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_is_parked_and_delays_nobody() {
    let stack = Stack::start().await;
    stack.sign_up("first@example.com").await;
    let channel = stack.amqp().await;
    let poison: [&[u8]; 4] = [
        b"\xff\xfe",
        b"{}",
        br#"{"v":2,"kind":"send-code","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}"#,
        br#"{"v":1,"kind":"send-fax","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}"#,
    ];
    for body in poison {
        let (exchange, key) = (stack.topology.exchange.as_str(), shared::amqp::topology::ROUTING_KEY);
        let properties = BasicProperties::default();
        channel
            .basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), body, properties)
            .await
            .unwrap();
    }
    stack.sign_up(ADA).await;
    stack.queue_holds(&stack.topology.parked, poison.len() as u32).await;
}

/// A message about something that is not in the database any more is dropped, on record.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_about_nothing_is_dropped() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    api.client.register(ADA).await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    stack.database.execute("DELETE FROM registrations", &[]).await;
    stack.start_worker(&[]).await;
    stack.database.becomes("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'gone'", 1).await;
    assert_eq!(stack.mail_server.count(), 0);
}

/// A message comes again while its mail is on the way out, because the connection to the broker was
/// lost: it waits for the first of the two, and then there is nothing left to mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_while_in_hand_is_mailed_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::before(&support::database::server("AMQP_URL")).await;
    let worker = stack.start_worker(&[("AMQP_URL", &url)]).await;
    worker.becomes(200).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_secs(3))]);
    let registration = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    proxy.set(ProxyMode::Cut);
    worker.becomes(503).await;
    proxy.set(ProxyMode::Open);
    worker.becomes(200).await;
    api.client.receipt_when(&registration, "sent").await;
    worker.stop().await.unwrap();
    stack.queue_holds(&stack.topology.queue, 0).await;
    assert_eq!((stack.mail_server.attempts(ADA).len(), stack.mail_server.mails_to(ADA).len()), (1, 1));
}

/// The same when the first of the two fails. The message itself is there again, so no copy of it for a
/// retry queue may be made, over whichever connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_fails_after_its_connection_was_lost_is_not_multiplied() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::before(&support::database::server("AMQP_URL")).await;
    let worker = stack.start_worker(&[("AMQP_URL", &url)]).await;
    worker.becomes(200).await;
    stack.mail_server.next_connection(Behaviour::Slow(Stage::Greeting, std::time::Duration::from_secs(3)));
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Dot, code: 451 }]);
    let registration = api.client.register(ADA).await.registration();
    stack.mail_server.nth_connection(1).await;
    proxy.set(ProxyMode::Cut);
    worker.becomes(503).await;
    proxy.set(ProxyMode::Open);
    worker.becomes(200).await;
    api.client.receipt_when(&registration, "sent").await;
    worker.stop().await.unwrap();
    // A copy would come from the one to the other, and stay there.
    stack.queue_holds(&stack.topology.retry_queue(1), 0).await;
    stack.queue_holds(&stack.topology.queue, 0).await;
    assert_eq!((stack.mail_server.attempts(ADA).len(), stack.mail_server.mails_to(ADA).len()), (2, 1));
}

/// A bug of ours that one message finds costs that message its turn, and nobody else anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_makes_the_worker_panic_is_postponed() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    // No program of ours writes this, and none can read it.
    stack.database.execute("UPDATE codes SET deadline = 'infinity'", &[]).await;
    stack.start_worker(&[]).await;
    stack.queue_holds(&stack.topology.retry_queue(5), 1).await;
    assert_eq!(api.client.register("other@example.com").await.status, 202);
    stack.mail_server.mail_to("other@example.com").await;
    stack.database.execute("UPDATE codes SET deadline = created_at + interval '10 min'", &[]).await;
    stack.mail_server.mail_to(ADA).await;
}

/// It lacks an argument that ours has, and RabbitMQ refuses to declare it anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_for_parked_messages_that_an_older_version_made_is_taken_as_it_is() {
    let mut stack = Stack::prepare(&[]).await;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let parked = stack.topology.parked.as_str();
    stack.amqp().await.queue_declare(parked.into(), durable, arguments).await.unwrap();
    stack.client = stack.start_api(&[]).await.client;
    stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
}
