//! Messages of an attacker who has the login of the broker: their properties, ids and bodies have no effect.

use std::collections::BTreeSet;

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldArray, FieldTable},
};
use shared::messages::MailQueue;

use crate::{
    broker::parked::UNKNOWN_KIND,
    broker::parked::broker::Broker,
    broker::parked::cli::{error_output, list_ids, run, run_json, run_ok, worker_command},
};
use support::{
    process::Process,
    proxy::{Proxy, ProxyMode},
};

const READABLE: &[u8] = br#"{"v":1,"kind":"send-code","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}"#;

/// Terminal control sequences and special characters: clear the screen, reset the colour, delete, right-to-left
/// override, a Hebrew letter, and a character that needs two UTF-16 units.
const TERMINAL_SEQUENCES: &str = "\u{9b}2J\x1b[0m\x7f\u{202e}\u{5d0}\u{1f4ee}";

/// Properties that the broker acts on, one per message: `CC`, `expiration` and `x-death`. A copy that kept them would
/// be routed, expired or cycled by them. `CC` names the queue `copy_queue`, where the message itself goes as well.
fn broker_directives(broker: &Broker, copy_queue: &str) -> [(&'static str, BasicProperties); 3] {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let plain = |id: &str| BasicProperties::default().with_message_id(id.into());
    let headers = |name: &str, value| {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), AMQPValue::FieldArray(FieldArray::from(vec![value])));
        headers.insert("traceparent".into(), text("00-trace"));
        headers
    };
    let mut death = FieldTable::default();
    for (name, value) in
        [("queue", broker.topology.codes.name.as_str()), ("reason", "delivery_limit"), ("exchange", "")]
    {
        death.insert(name.into(), text(value));
    }
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    death.insert(
        "routing-keys".into(),
        AMQPValue::FieldArray(FieldArray::from(vec![text(MailQueue::Codes.routing_key())])),
    );
    [
        ("cc", plain("cc").with_headers(headers("CC", text(copy_queue)))),
        ("expiration", plain("expiration").with_expiration("600000".into())),
        ("x-death", plain("x-death").with_headers(headers("x-death", AMQPValue::FieldTable(death)))),
    ]
}

/// The names of the headers, without the one that the broker sets for this delivery.
fn header_names(message: &Delivery) -> Vec<&str> {
    let headers = message.properties.headers().iter().flat_map(|headers| headers.inner().keys());
    headers.map(|name| name.as_str()).filter(|name| *name != "x-delivery-count").collect()
}

/// Starts a worker without Postgres, so that it postpones every message that it can read.
fn start_worker_without_postgres(broker: &Broker) -> Process {
    let mut process = Process::start(worker_command(broker).env("MIGRATE_ON_START", "false"));
    process.wait_for("connected to the broker");
    process
}

/// I-17.
#[tokio::test(flavor = "multi_thread")]
async fn parked_copy_drops_foreign_properties() {
    let broker = Broker::start().await;
    let mut worker = start_worker_without_postgres(&broker);
    for (id, properties) in broker_directives(&broker, &broker.topology.codes.name) {
        broker
            .publish_as(&broker.topology.codes.name, UNKNOWN_KIND, properties.with_reply_to("a-stranger".into()))
            .await;
        worker.wait_for("parked");
        let message = broker.take(&broker.topology.parked).await;
        let properties = &message.properties;
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
        assert_eq!((properties.expiration(), properties.reply_to()), (&None, &None), "{id}");
        let trace = (id != "expiration").then_some("traceparent");
        let expected: Vec<_> = trace.into_iter().chain(["x-vestibule-since", "x-vestibule-why"]).collect();
        assert_eq!(header_names(&message), expected, "{id}");
    }
    assert_eq!(worker.terminate().0, Some(0));
    assert_eq!(broker.drain().await, (vec![], vec![]));
}

/// I-17. With the `x-death` header of the original, the broker would keep the copy in the retry queue forever.
#[tokio::test(flavor = "multi_thread")]
async fn retried_copy_drops_foreign_properties() {
    let broker = Broker::start().await;
    let mut worker = start_worker_without_postgres(&broker);
    let all = broker_directives(&broker, &broker.topology.codes.name);
    for (_, properties) in &all {
        broker.publish_as(&broker.topology.codes.name, READABLE, properties.clone()).await;
        worker.wait_for("postponed");
    }
    assert_eq!(worker.terminate().0, Some(0));
    let mut received = BTreeSet::new();
    for _ in &all {
        let message = broker.take(&broker.topology.codes.name).await;
        let id = message.properties.message_id().as_ref().unwrap().to_string();
        assert_eq!(message.properties.expiration(), &None, "{id}");
        let others: Vec<_> = header_names(&message).into_iter().filter(|name| !name.contains("death")).collect();
        let trace = (id != "expiration").then_some("traceparent");
        let own = trace.into_iter().chain(["x-vestibule-attempts", "x-vestibule-errors"]);
        assert_eq!(others, own.collect::<Vec<_>>(), "{id}");
        received.insert(id);
    }
    assert_eq!(received, all.iter().map(|(id, _)| (*id).to_owned()).collect());
    assert_eq!(broker.drain().await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn requeued_copy_drops_foreign_properties() {
    let broker = Broker::start().await;
    for (id, properties) in broker_directives(&broker, &broker.topology.parked) {
        broker.publish_as(&broker.topology.parked, READABLE, properties).await;
        run_ok(&broker, "parked requeue all");
        let message = broker.take(&broker.topology.codes.name).await;
        assert_eq!(message.properties.expiration(), &None, "{id}");
        let trace = (id != "expiration").then_some("traceparent");
        assert_eq!(header_names(&message), trace.into_iter().collect::<Vec<_>>(), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_escapes_terminal_sequences() {
    let broker = Broker::start().await;
    let mut headers = FieldTable::default();
    for name in ["x-vestibule-why", TERMINAL_SEQUENCES] {
        headers.insert(name.into(), AMQPValue::LongString(TERMINAL_SEQUENCES.into()));
    }
    let properties = BasicProperties::default().with_message_id("a".into()).with_app_id(TERMINAL_SEQUENCES.into());
    let body = TERMINAL_SEQUENCES.as_bytes();
    broker.publish_as(&broker.topology.parked, body, properties.with_headers(headers)).await;
    for arguments in ["parked list --json", "parked show a --json", "parked list", "parked show a"] {
        let stdout = run_ok(&broker, arguments);
        assert!(stdout.chars().all(|char| matches!(char, '\n' | ' '..='~')), "{arguments}: {stdout:?}");
    }
    let shown = &run_json(&broker, "parked show a")["parked"][0];
    for value in [&shown["body"], &shown["why"], &shown["headers"][TERMINAL_SEQUENCES], &shown["properties"]["app_id"]]
    {
        assert_eq!(value, TERMINAL_SEQUENCES);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn id_unsafe_on_a_command_line_is_replaced() {
    let broker = Broker::start().await;
    let long = "a".repeat(65);
    let names = ["--json", "-h", "all", "not a word", "$(id)", ";id", "body-0123456789abcdef", "", &long, "caf\u{e9}"];
    for (n, name) in names.into_iter().enumerate() {
        broker.publish(&broker.topology.parked, Some(name), format!("{n}").as_bytes()).await;
    }
    let listed = list_ids(&broker);
    let derived =
        |id: &String| id.strip_prefix("body-").is_some_and(|rest| rest.len() == 16 && !names.contains(&&**id));
    assert!(listed.iter().all(derived), "{listed:?}");
    for (id, name) in listed.iter().zip(names) {
        let shown = run_json(&broker, &format!("parked show {id}"));
        assert_eq!(shown["parked"][0]["properties"]["message_id"], name);
        assert_eq!(run_json(&broker, &format!("parked drop {id}"))["dropped"], 1, "{name}");
    }
    broker.holds(&broker.topology.parked, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_the_same_id_stay_distinguishable() {
    let broker = Broker::start().await;
    for body in [&b"real"[..], b"copied", b"real"] {
        broker.publish(&broker.topology.parked, Some("a"), body).await;
    }
    let listed = list_ids(&broker);
    assert!(listed[0] == listed[2] && listed[0] != listed[1] && !listed.contains(&"a".to_owned()), "{listed:?}");
    for verb in ["show", "requeue", "drop"] {
        let stderr = error_output(run(&broker, &format!("parked {verb} a")));
        assert!(stderr.contains("3 messages that differ have the ID 'a'"), "{stderr}");
    }
    let shown = run_ok(&broker, &format!("parked show {}", listed[0]));
    assert!(shown.contains("2 messages have this ID") && !shown.contains("copied"), "{shown}");
    assert_eq!(run_json(&broker, &format!("parked drop {}", listed[1]))["dropped"], 1);
    // Without the other message, the ID is unique again; the replacement ID remains valid.
    assert_eq!(list_ids(&broker), ["a", "a"]);
    assert_eq!(run_ok(&broker, &format!("parked requeue {}", listed[0])), "2 messages were requeued, 0 left.\n");
}

/// Not an attack, but a similar loss of certainty: the network loses the confirm of the broker.
#[tokio::test(flavor = "multi_thread")]
async fn requeue_without_confirm_reports_possible_duplicate() {
    let broker = Broker::start().await;
    let (proxy, url) = Proxy::in_front_of(&support::database::server_url("AMQP_URL")).await;
    for (id, body) in [("a", "first"), ("b", "then silence"), ("c", "third")] {
        broker.publish(&broker.topology.parked, Some(id), body.as_bytes()).await;
    }
    proxy.set(ProxyMode::CloseAfterRequest("then silence"));
    let stderr =
        error_output(worker_command(&broker).env("AMQP_URL", url).args(["parked", "requeue", "all"]).output().unwrap());
    assert!(stderr.contains("1 were requeued, the others are still parked"), "{stderr}");
    assert!(stderr.contains("the one that was under way may be in both queues"), "{stderr}");
    let (parked, queued) = broker.drain().await;
    assert_eq!((parked, queued), (vec!["b".to_owned(), "c".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
}
