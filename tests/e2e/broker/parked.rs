//! `worker parked`: list, show, requeue and drop messages that the worker could not read.

mod broker;
mod cli;
mod foreign_headers;

use std::collections::BTreeSet;

use broker::Broker;
use cli::{SECRETS, error_output, list_ids, run, run_json, run_ok, worker_command};
use secrecy::ExposeSecret;
use shared::codes::CodeSecrets;
use support::{database::Database, fake_smtp::FakeSmtpServer, process::Process};
use uuid::Uuid;

const UNKNOWN_KIND: &[u8] = br#"{"v":1,"kind":"send-fax","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_message_is_listed_shown_requeued_and_dropped() {
    let broker = Broker::start().await;
    let database = Database::create().await;
    let mut process = Process::start(worker_command(&broker).env("DATABASE_URL", &database.url));
    process.wait_for("connected to the broker");
    assert_eq!(run_ok(&broker, "parked list"), "No message is parked.\n");
    assert_eq!(run_ok(&broker, "parked requeue all"), "No message is parked.\n");

    broker.publish(&broker.topology.codes.name, Some("fax-1"), UNKNOWN_KIND).await;
    broker.holds(&broker.topology.parked, 1).await;
    let listed = run_json(&broker, "parked list");
    let message = &listed["parked"][0];
    assert_eq!((&message["id"], &message["why"]), (&"fax-1".into(), &"an unknown kind or a bad id".into()), "{listed}");
    assert_eq!((&message["bytes"], &listed["total"]), (&UNKNOWN_KIND.len().into(), &1.into()));
    assert!(message["since"].as_str().unwrap().starts_with("20"), "{listed}");
    let text = run_ok(&broker, "parked list");
    assert!(text.starts_with("ID     WHY") && text.contains("fax-1  an unknown kind or a bad id  20"), "{text}");
    let shown = run_ok(&broker, "parked show fax-1");
    assert!(shown.contains("message_id: fax-1") && shown.contains(r#""kind":"send-fax""#), "{shown}");
    assert!(shown.contains("traceparent: 00-trace") && shown.contains("x-vestibule-why: an unknown kind"), "{shown}");

    // Requeued, the message is parked once more.
    process.wait_for("parked");
    assert_eq!(run_ok(&broker, "parked requeue fax-1"), "1 message was requeued, 0 left.\n");
    process.wait_for("parked");
    broker.holds(&broker.topology.parked, 1).await;
    assert_eq!(run_json(&broker, "parked list")["parked"][0]["why"], "an unknown kind or a bad id");
    assert_eq!(run_json(&broker, "parked drop fax-1"), serde_json::json!({ "dropped": 1, "left": 0 }));
    broker.holds(&broker.topology.parked, 0).await;
    for verb in ["show", "requeue", "drop"] {
        let stderr = error_output(run(&broker, &format!("parked {verb} fax-1")));
        assert!(stderr.contains("'fax-1'") && stderr.contains("`worker parked list`"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_loses_no_message_and_keeps_the_order() {
    let broker = Broker::start().await;
    let expected: Vec<_> = (0..25).map(|n| format!("m-{n}")).collect();
    for id in &expected {
        broker.publish(&broker.topology.parked, Some(id), b"{}").await;
    }
    for n in 0..30 {
        assert_eq!(list_ids(&broker), expected, "listing {n}");
    }
    run_ok(&broker, "parked drop m-7");
    run_ok(&broker, "parked show m-20");
    assert_eq!(list_ids(&broker), expected.into_iter().filter(|id| id != "m-7").collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_message_id_is_replaced_and_body_escaped() {
    let broker = Broker::start().await;
    for (id, body) in [(None, &b"one\x1b[2J"[..]), (Some("all"), b"one\x1b[2J"), (Some("not a word"), b"\xff\x00")] {
        broker.publish(&broker.topology.parked, id, body).await;
    }
    let listed = list_ids(&broker);
    assert!(listed.iter().all(|id| id.starts_with("body-") && id.len() == 21), "{listed:?}");
    assert!(listed[0] == listed[1] && listed[1] != listed[2], "{listed:?}");
    let shown = run_ok(&broker, &format!("parked show {}", listed[0]));
    assert!(shown.contains("2 messages have this ID") && shown.contains("one\\u{1b}[2J"), "{shown}");
    let shown = run_json(&broker, &format!("parked show {}", listed[2]));
    assert_eq!(
        (&shown["parked"][0]["body"], &shown["parked"][0]["body_is_text"]),
        (&r"\xff\x00".into(), &false.into())
    );
    assert_eq!(run_ok(&broker, &format!("parked drop {}", listed[0])), "2 messages were dropped, 1 left.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn requeued_message_equals_the_original() {
    let broker = Broker::start().await;
    for id in ["a", "b", "c"] {
        broker.publish(&broker.topology.parked, Some(id), id.as_bytes()).await;
    }
    assert_eq!(run_json(&broker, "parked requeue b"), serde_json::json!({ "requeued": 1, "left": 2 }));
    let message = broker.take(&broker.topology.codes.name).await;
    assert_eq!((message.data.as_slice(), message.exchange.as_str()), (&b"b"[..], broker.topology.exchange.as_str()));
    let properties = &message.properties;
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "b");
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = properties.headers().as_ref().unwrap().inner();
    // `x-delivery-count` is set by the broker for this delivery.
    let names = headers.keys().map(|name| name.as_str()).filter(|name| *name != "x-delivery-count");
    assert_eq!(names.collect::<Vec<_>>(), ["traceparent"]);
    assert_eq!(run_ok(&broker, "parked requeue all"), "2 messages were requeued, 0 left.\n");
    broker.holds(&broker.topology.parked, 0).await;
    broker.holds(&broker.topology.codes.name, 2).await;
}

/// SIGKILL while messages are moved: each message is in one of the two queues, and at most one is in both.
#[tokio::test(flavor = "multi_thread")]
async fn killed_requeue_command_loses_no_message() {
    const MESSAGES: u32 = 1_000;
    let broker = Broker::start().await;
    let expected: BTreeSet<_> = (0..MESSAGES).map(|n| format!("m-{n}")).collect();
    for id in &expected {
        broker.publish(&broker.topology.parked, Some(id), b"{}").await;
    }
    let process = Process::start(worker_command(&broker).args(["parked", "requeue", "all"]));
    while broker.count(&broker.topology.codes.name).await < 50 {}
    process.kill();
    let (parked, queued) = broker.drain().await;
    assert!(!parked.is_empty() && !queued.is_empty(), "it was killed too late: {} are queued", queued.len());
    assert!(parked.len() + queued.len() <= expected.len() + 1);
    assert_eq!(parked.into_iter().chain(queued).collect::<BTreeSet<_>>(), expected);
}

/// A valid message that was parked, for example by the delivery limit of the broker, is mailed after it is requeued.
#[tokio::test(flavor = "multi_thread")]
async fn requeued_valid_message_is_mailed() {
    let broker = Broker::start().await;
    let database = Database::create().await;
    let mail_server = FakeSmtpServer::start().await;
    let registration = Uuid::from_u128(1);
    let code = Uuid::from_u128(2);
    let secrets = CodeSecrets::parse(SECRETS).unwrap();
    let digits = secrets.newest().digits(code, 4);
    let hash = secrets.newest().verifier(code, digits.expose_secret());
    let insert_registration = "INSERT INTO registrations (id, email, password_hash) VALUES ($1, 'ada@example.com', '')";
    database.execute(insert_registration, &[&registration]).await;
    let insert_code = "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, ttl_seconds, \
        deadline, resend_at, created_at) VALUES ($1, $2, $3, 'test', 4, 3, 60, now() + interval '9 min', now(), now())";
    database.execute(insert_code, &[&code, &registration, &hash.as_slice()]).await;
    let body = format!(r#"{{"v":1,"kind":"send-code","id":"{code}"}}"#);
    broker.publish(&broker.topology.parked, Some(&code.to_string()), body.as_bytes()).await;

    let settings = [("DATABASE_URL", database.url.as_str()), ("SMTP_URL", &mail_server.url())];
    let mut process = Process::start(worker_command(&broker).envs(settings));
    process.wait_for("connected to the broker");
    run_ok(&broker, &format!("parked requeue {code}"));
    assert_eq!(mail_server.mail_to("ada@example.com").await.code(), digits.expose_secret());
    broker.holds(&broker.topology.parked, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_queue_or_broker_is_named() {
    let broker = Broker::start().await;
    let stderr =
        error_output(worker_command(&broker).env("AMQP_PREFIX", "no-such").args(["parked", "list"]).output().unwrap());
    assert!(stderr.contains("no queue no-such.send-code.parked") && stderr.contains("AMQP_PREFIX"), "{stderr}");
    let unreachable = "amqp://canary:canary@127.0.0.1:1";
    let stderr =
        error_output(worker_command(&broker).env("AMQP_URL", unreachable).args(["parked", "list"]).output().unwrap());
    assert!(stderr.contains("cannot connect to AMQP_URL") && !stderr.contains("canary"), "{stderr}");
    // Without a queue to requeue it to, the message stays parked.
    broker.publish(&broker.topology.parked, Some("a"), b"{}").await;
    broker.delete(&broker.topology.codes.name).await;
    let stderr = error_output(run(&broker, "parked requeue all"));
    assert!(stderr.contains("0 were requeued") && stderr.contains("has no queue"), "{stderr}");
    assert_eq!(list_ids(&broker), ["a"]);
}
