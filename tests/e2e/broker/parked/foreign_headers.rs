//! Messages of somebody who has the broker's login, and means us no good.

use std::collections::BTreeSet;

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldArray, FieldTable},
};
use shared::amqp::topology::ROUTING_KEY;

use crate::{
    broker::parked::UNKNOWN_KIND,
    broker::parked::broker::Broker,
    broker::parked::tool::{ids, json, refusal, run, tool, worker},
};
use support::{
    process::Process,
    proxy::{Proxy, ProxyMode},
};

const READABLE: &[u8] = br#"{"v":1,"kind":"send-code","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}"#;

/// Clears the screen, ends a colour, turns the direction of writing, is a letter, and needs two units of UTF-16.
const FOR_TERMINALS: &str = "\u{9b}2J\x1b[0m\x7f\u{202e}\u{5d0}\u{1f4ee}";

/// What the broker obeys, each alone: what a message says of itself, and would make of a copy that says it too.
/// The copies go to this queue, where the message itself goes as well.
fn steering(broker: &Broker, copies: &str) -> [(&'static str, BasicProperties); 3] {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let plain = |id: &str| BasicProperties::default().with_message_id(id.into());
    let headers = |name: &str, value| {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), AMQPValue::FieldArray(FieldArray::from(vec![value])));
        headers.insert("traceparent".into(), text("00-trace"));
        headers
    };
    let mut death = FieldTable::default();
    for (name, value) in [("queue", broker.topology.queue.as_str()), ("reason", "delivery_limit"), ("exchange", "")] {
        death.insert(name.into(), text(value));
    }
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    death.insert("routing-keys".into(), AMQPValue::FieldArray(FieldArray::from(vec![text(ROUTING_KEY)])));
    [
        ("cc", plain("cc").with_headers(headers("CC", text(copies)))),
        ("expiration", plain("expiration").with_expiration("600000".into())),
        ("x-death", plain("x-death").with_headers(headers("x-death", AMQPValue::FieldTable(death)))),
    ]
}

/// The names of the headers, but for the broker's own of this delivery.
fn headers(message: &Delivery) -> Vec<&str> {
    let headers = message.properties.headers().iter().flat_map(|headers| headers.inner().keys());
    headers.map(|name| name.as_str()).filter(|name| *name != "x-delivery-count").collect()
}

/// A worker that finds no Postgres, so that it postpones what it can read.
fn without_postgres(broker: &Broker) -> Process {
    let mut process = Process::start(worker(broker).env("MIGRATE_ON_START", "false"));
    process.wait_for("connected to the broker");
    process
}

/// I-17.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_obeys_nobody() {
    let broker = Broker::start().await;
    let mut worker = without_postgres(&broker);
    for (id, properties) in steering(&broker, &broker.topology.queue) {
        broker.publish_as(&broker.topology.queue, UNKNOWN_KIND, properties.with_reply_to("a-stranger".into())).await;
        worker.wait_for("parked");
        let message = broker.take(&broker.topology.parked).await;
        let properties = &message.properties;
        assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
        assert_eq!((properties.expiration(), properties.reply_to()), (&None, &None), "{id}");
        let trace = (id != "expiration").then_some("traceparent");
        let expected: Vec<_> = trace.into_iter().chain(["x-vestibule-since", "x-vestibule-why"]).collect();
        assert_eq!(headers(&message), expected, "{id}");
    }
    assert_eq!(worker.terminate().0, Some(0));
    assert_eq!(broker.drain().await, (vec![], vec![]));
}

/// I-17. With the deaths of an earlier journey the broker would keep it in the pause, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_again_obeys_nobody() {
    let broker = Broker::start().await;
    let mut worker = without_postgres(&broker);
    let all = steering(&broker, &broker.topology.queue);
    for (_, properties) in &all {
        broker.publish_as(&broker.topology.queue, READABLE, properties.clone()).await;
        worker.wait_for("postponed");
    }
    assert_eq!(worker.terminate().0, Some(0));
    let mut came = BTreeSet::new();
    for _ in &all {
        let message = broker.take(&broker.topology.queue).await;
        let id = message.properties.message_id().as_ref().unwrap().to_string();
        assert_eq!(message.properties.expiration(), &None, "{id}");
        let others: Vec<_> = headers(&message).into_iter().filter(|name| !name.contains("death")).collect();
        let trace = (id != "expiration").then_some("traceparent");
        assert_eq!(others, trace.into_iter().chain(["x-vestibule-attempts"]).collect::<Vec<_>>(), "{id}");
        came.insert(id);
    }
    assert_eq!(came, all.iter().map(|(id, _)| (*id).to_owned()).collect());
    assert_eq!(broker.drain().await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_requeued_obeys_nobody() {
    let broker = Broker::start().await;
    for (id, properties) in steering(&broker, &broker.topology.parked) {
        broker.publish_as(&broker.topology.parked, READABLE, properties).await;
        tool(&broker, "parked requeue all");
        let message = broker.take(&broker.topology.queue).await;
        assert_eq!(message.properties.expiration(), &None, "{id}");
        let trace = (id != "expiration").then_some("traceparent");
        assert_eq!(headers(&message), trace.into_iter().collect::<Vec<_>>(), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_gets_nothing_to_obey() {
    let broker = Broker::start().await;
    let mut headers = FieldTable::default();
    for name in ["x-vestibule-why", FOR_TERMINALS] {
        headers.insert(name.into(), AMQPValue::LongString(FOR_TERMINALS.into()));
    }
    let properties = BasicProperties::default().with_message_id("a".into()).with_app_id(FOR_TERMINALS.into());
    let body = FOR_TERMINALS.as_bytes();
    broker.publish_as(&broker.topology.parked, body, properties.with_headers(headers)).await;
    for words in ["parked list --json", "parked show a --json", "parked list", "parked show a"] {
        let answer = tool(&broker, words);
        assert!(answer.chars().all(|char| matches!(char, '\n' | ' '..='~')), "{words}: {answer:?}");
    }
    let shown = &json(&broker, "parked show a")["parked"][0];
    for said in [&shown["body"], &shown["why"], &shown["headers"][FOR_TERMINALS], &shown["properties"]["app_id"]] {
        assert_eq!(said, FOR_TERMINALS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_means_something_else_on_a_command_line_is_not_used() {
    let broker = Broker::start().await;
    let long = "a".repeat(65);
    let names = ["--json", "-h", "all", "not a word", "$(id)", ";id", "body-0123456789abcdef", "", &long, "caf\u{e9}"];
    for (n, name) in names.into_iter().enumerate() {
        broker.publish(&broker.topology.parked, Some(name), format!("{n}").as_bytes()).await;
    }
    let listed = ids(&broker);
    let derived =
        |id: &String| id.strip_prefix("body-").is_some_and(|rest| rest.len() == 16 && !names.contains(&&**id));
    assert!(listed.iter().all(derived), "{listed:?}");
    for (id, name) in listed.iter().zip(names) {
        let shown = json(&broker, &format!("parked show {id}"));
        assert_eq!(shown["parked"][0]["properties"]["message_id"], name);
        assert_eq!(json(&broker, &format!("parked drop {id}"))["dropped"], 1, "{name}");
    }
    broker.holds(&broker.topology.parked, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_s_message_cannot_hide_behind_the_id_of_another() {
    let broker = Broker::start().await;
    for body in [&b"real"[..], b"copied", b"real"] {
        broker.publish(&broker.topology.parked, Some("a"), body).await;
    }
    let listed = ids(&broker);
    assert!(listed[0] == listed[2] && listed[0] != listed[1] && !listed.contains(&"a".to_owned()), "{listed:?}");
    for verb in ["show", "requeue", "drop"] {
        let said = refusal(run(&broker, &format!("parked {verb} a")));
        assert!(said.contains("3 messages that differ have the ID 'a'"), "{said}");
    }
    let shown = tool(&broker, &format!("parked show {}", listed[0]));
    assert!(shown.contains("2 messages have this ID") && !shown.contains("copied"), "{shown}");
    assert_eq!(json(&broker, &format!("parked drop {}", listed[1]))["dropped"], 1);
    // Alone again, it has its ID back, and the other one stays good.
    assert_eq!(ids(&broker), ["a", "a"]);
    assert_eq!(tool(&broker, &format!("parked requeue {}", listed[0])), "2 messages were requeued, 0 left.\n");
}

/// Not a stranger's, but as little to be trusted: a network that swallows the broker's confirm.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_in_both_queues_is_said_to_be() {
    let broker = Broker::start().await;
    let (proxy, url) = Proxy::before(&support::database::server("AMQP_URL")).await;
    for (id, body) in [("a", "first"), ("b", "then silence"), ("c", "third")] {
        broker.publish(&broker.topology.parked, Some(id), body.as_bytes()).await;
    }
    proxy.set(ProxyMode::DeafAfter("then silence"));
    let said = refusal(worker(&broker).env("AMQP_URL", url).args(["parked", "requeue", "all"]).output().unwrap());
    assert!(said.contains("1 were requeued, the others are still parked"), "{said}");
    assert!(said.contains("the one that was under way may be in both queues"), "{said}");
    let (parked, queued) = broker.drain().await;
    assert_eq!((parked, queued), (vec!["b".to_owned(), "c".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
}
