//! Broker outages, missing confirms, redelivered messages and poison messages.

use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::json;

use support::{
    database::server_url,
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::{Proxy, ProxyMode},
    scrape::Scrape,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn registrations_during_broker_outage_are_mailed_later() {
    let stack = Stack::prepare(&[]).await;
    let amqp = server_url("AMQP_URL");
    let (to_api, api_url) = Proxy::in_front_of(&amqp).await;
    let (to_worker, worker_url) = Proxy::in_front_of(&amqp).await;
    let api = stack.start_api(&[("AMQP_URL", &api_url)]).await;
    stack.start_worker(&[("AMQP_URL", &worker_url)]).await;
    api.client.register("before@example.com").await;
    stack.mail_server.mail_to("before@example.com").await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;

    for proxy in [&to_api, &to_worker] {
        proxy.set(ProxyMode::Closed);
    }
    let mut registrations = Vec::new();
    for n in 0..10 {
        let answer = api.client.register(&format!("during{n}@example.com")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        registrations.push(answer.registration());
    }
    let health = api.client.get("/health").await;
    assert_eq!((health.status, &health.json()["checks"]["broker"]), (503, &json!("failing")));
    // The API stays ready, so that it keeps accepting registrations. Checks are cached for a second: wait for the new
    // result.
    Scrape::wait_until(&api.ops, |scrape| scrape.value(r#"check_ok{part="api",check="broker"}"#) == 0.0).await;
    let (status, report) = api.readiness().await;
    assert!(status == 200 && report.contains(r#""broker":"failing""#), "{report}");
    // A mail and an event for each.
    assert_eq!(stack.database.count("SELECT count(*) FROM outbox").await, 20);
    for proxy in [&to_api, &to_worker] {
        proxy.set(ProxyMode::Open);
    }
    for (n, registration) in registrations.iter().enumerate() {
        let code = stack.mail_server.mail_to(&format!("during{n}@example.com")).await.code();
        api.client.wait_for_receipt(registration, "sent").await;
        assert_eq!(api.client.activate(&format!("during{n}@example.com"), &code).await.status, 200);
    }
}

/// A half-open connection to the broker is noticed, and another relay publishes the messages.
#[tokio::test(flavor = "multi_thread")]
async fn missing_confirm_loses_no_message() {
    let stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&server_url("AMQP_URL")).await;
    let api = stack.start_api(&[("AMQP_URL", &url)]).await;
    stack.start_worker(&[]).await;
    api.client.register("before@example.com").await;
    stack.mail_server.mail_to("before@example.com").await;
    proxy.set(ProxyMode::Stalled);
    assert_eq!(api.client.register(ADA).await.status, 202);
    // The relay of another API shares the outbox; the first relay releases the rows that it has leased.
    let other = stack.start_api(&[]).await;
    assert_eq!(other.client.register("other@example.com").await.status, 202);
    stack.mail_server.mail_to("other@example.com").await;
    stack.mail_server.mail_to(ADA).await;
    proxy.set(ProxyMode::Open);
}

/// I-17.
#[tokio::test(flavor = "multi_thread")]
async fn poison_messages_are_parked_and_delay_no_mail() {
    let stack = Stack::start().await;
    stack.sign_up("first@example.com").await;
    let channel = stack.open_channel().await;
    let poison: [&[u8]; 4] = [
        b"\xff\xfe",
        b"{}",
        br#"{"v":2,"kind":"send-code","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}"#,
        br#"{"v":1,"kind":"send-fax","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}"#,
    ];
    for body in poison {
        let exchange = stack.topology.exchange.as_str();
        let key = stack.topology.codes.routing_key;
        let properties = BasicProperties::default();
        channel
            .basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), body, properties)
            .await
            .unwrap();
    }
    stack.sign_up(ADA).await;
    stack.wait_for_queue_length(&stack.topology.parked, poison.len() as u32).await;
}

/// A message whose registration was deleted is dropped, with a delivery record.
#[tokio::test(flavor = "multi_thread")]
async fn message_of_a_deleted_registration_is_dropped() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    api.client.register(ADA).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    stack.database.execute("DELETE FROM registrations", &[]).await;
    stack.start_worker(&[]).await;
    stack
        .database
        .wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'gone'", 1)
        .await;
    assert_eq!(stack.mail_server.count(), 0);
}

/// The worker loses its connection to the broker while it sends a mail, and the message is redelivered: the second
/// delivery waits for the first one, and then finds nothing left to send.
#[tokio::test(flavor = "multi_thread")]
async fn message_redelivered_while_in_flight_is_mailed_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&server_url("AMQP_URL")).await;
    let worker = stack.start_worker(&[("AMQP_URL", &url)]).await;
    worker.wait_for_readiness(200).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_secs(3))]);
    let registration = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    proxy.set(ProxyMode::Closed);
    worker.wait_for_readiness(503).await;
    proxy.set(ProxyMode::Open);
    worker.wait_for_readiness(200).await;
    api.client.wait_for_receipt(&registration, "sent").await;
    worker.stop().await.unwrap();
    stack.wait_for_queue_length(&stack.topology.codes.name, 0).await;
    assert_eq!((stack.mail_server.attempts(ADA).len(), stack.mail_server.mails_to(ADA).len()), (1, 1));
}

/// The same when the first delivery fails. The broker redelivers the message itself, so the worker must not publish a
/// copy of it to a retry queue, on any connection.
#[tokio::test(flavor = "multi_thread")]
async fn failed_delivery_after_lost_connection_is_not_duplicated() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&server_url("AMQP_URL")).await;
    let worker = stack.start_worker(&[("AMQP_URL", &url)]).await;
    worker.wait_for_readiness(200).await;
    stack.mail_server.next_connection(Behaviour::Slow(Stage::Greeting, std::time::Duration::from_secs(3)));
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Dot, code: 451 }]);
    let registration = api.client.register(ADA).await.registration();
    stack.mail_server.nth_connection(1).await;
    proxy.set(ProxyMode::Closed);
    worker.wait_for_readiness(503).await;
    proxy.set(ProxyMode::Open);
    worker.wait_for_readiness(200).await;
    api.client.wait_for_receipt(&registration, "sent").await;
    worker.stop().await.unwrap();
    // A copy would move from the retry queue to the other queue, and stay there.
    stack.wait_for_queue_length(&stack.topology.codes.retry_queue(1), 0).await;
    stack.wait_for_queue_length(&stack.topology.codes.name, 0).await;
    assert_eq!((stack.mail_server.attempts(ADA).len(), stack.mail_server.mails_to(ADA).len()), (2, 1));
}

/// A panic postpones only the message that caused it.
#[tokio::test(flavor = "multi_thread")]
async fn message_that_panics_the_worker_is_retried() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    // Neither API nor worker writes this value, and the worker panics when it reads it.
    stack.database.execute("UPDATE codes SET deadline = 'infinity'", &[]).await;
    stack.start_worker(&[]).await;
    stack.wait_for_queue_length(&stack.topology.codes.retry_queue(15), 1).await;
    assert_eq!(api.client.register("other@example.com").await.status, 202);
    stack.mail_server.mail_to("other@example.com").await;
    stack.database.execute("UPDATE codes SET deadline = created_at + interval '10 min'", &[]).await;
    stack.mail_server.mail_to(ADA).await;
}

/// The queue of an older version lacks an argument, and RabbitMQ refuses to declare it with other arguments.
#[tokio::test(flavor = "multi_thread")]
async fn parked_queue_of_older_version_is_kept() {
    let mut stack = Stack::prepare(&[]).await;
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let parked = stack.topology.parked.as_str();
    stack.open_channel().await.queue_declare(parked.into(), durable, arguments).await.unwrap();
    stack.client = stack.start_api(&[]).await.client;
    stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
}
