//! What is told while something is away: in time, and with no number that is not true.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use serde_json::{Value, json};

use support::{
    client::at_once,
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::{Proxy, ProxyMode},
    scrape::Scrape,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// Those that go on counting are told, and of what waits in the outbox nothing, which nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_is_answered_while_postgres_is_silent() {
    let stack = Stack::without_broker().await;
    let (proxy, url) = Proxy::before(&stack.database.url).await;
    let api = stack.start_api(&[("DATABASE_URL", &url)]).await;
    api.becomes(200).await;
    assert!(Scrape::of(&api.ops).await.has(r#"outbox_messages{what="mail"}"#));
    proxy.set(ProxyMode::Held);
    assert_eq!(api.client.register(ADA).await.problem().1, "unavailable");
    let scrape = Scrape::when(&api.ops, |scrape| !scrape.has(r#"outbox_messages{what="mail"}"#)).await;
    scrape.is([
        (r#"registrations_total{outcome="unavailable"}"#, 1),
        (r#"check_ok{part="api",check="postgres"}"#, 0),
        (r#"check_ok{part="api",check="hash_pool"}"#, 1),
    ]);
    assert!(scrape.value(r#"postgres_errors_total{part="api"}"#) >= 1.0);
    assert_eq!(api.asked_if_ready().await.0, 503);
    proxy.set(ProxyMode::Open);
    api.becomes(200).await;
    Scrape::when(&api.ops, |scrape| scrape.has(r#"outbox_messages{what="mail"}"#)).await;
}

/// Nobody needs an account for it: it must not take from those who register the connections that they need.
#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_how_it_is_one_connection_looks() {
    let stack = Stack::start().await;
    stack.database.client().batch_execute("BEGIN; LOCK TABLE codes").await.unwrap();
    let asking = tokio::spawn(at_once(50, {
        let client = stack.client.clone();
        move |_| {
            let client = client.clone();
            async move { client.get("/health").await }
        }
    }));
    let looking = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'codes'::regclass";
    stack.database.becomes(looking, 1).await;
    // New connections would wait here, too, for what they prepare.
    for _ in 0..10 {
        // It has given up where this machine stood still meanwhile.
        assert!(stack.database.count(looking).await <= 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stack.database.client().batch_execute("ROLLBACK").await.unwrap();
    // Each has an answer, whatever it is.
    asking.await.unwrap();
    assert_eq!(stack.client.get("/health").await.json()["checks"]["postgres"], "ok");
}

/// It would meet tables that are not there yet. What is newer than it knows is none of its business.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_ready_when_the_schema_is_at_least_its_own() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    api.becomes(200).await;
    let behind = "UPDATE migrations SET version = -version WHERE version = (SELECT max(version) FROM migrations)";
    assert_eq!(stack.database.execute(behind, &[]).await, 1);
    api.becomes(503).await;
    let (_, told) = api.asked_if_ready().await;
    assert!(told.contains(r#""migrations":"failing""#) && told.contains(r#""postgres":"ok""#), "{told}");
    let newer = "UPDATE migrations SET version = 1 - version WHERE version < 0";
    assert_eq!(stack.database.execute(newer, &[]).await, 1);
    api.becomes(200).await;
}

/// Whoever looks after processes must not end one that takes its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_waits_to_migrate_lives_and_is_not_ready() {
    let stack = Stack::without_broker().await;
    let lock = 0x0076_6573_7469_6275_i64;
    stack.database.count(&format!("SELECT 1::bigint FROM pg_advisory_lock({lock})")).await;
    let (api, worker) = (stack.start_api(&[]).await, stack.start_worker(&[]).await);
    for (process, name) in [(&api, "api"), (&worker, "worker")] {
        assert_eq!(process.ops.request("GET", "/health/live").send().await.unwrap().status(), 200);
        let (status, report) = process.asked_if_ready().await;
        let report: Value = serde_json::from_str(&report).unwrap();
        let migrating = json!({ "checks": { "migrations": "failing" }, "status": "failing" });
        assert_eq!((status, report), (503, migrating));
        let scrape = Scrape::of(&process.ops).await;
        assert!(scrape.has(&format!(r#"check_ok{{part="{name}",check="migrations"}}"#)));
        // It is not yet one of those whose absence is an alarm.
        assert!(!scrape.text.contains("build_info{"), "{}", scrape.text);
    }
    stack.database.count(&format!("SELECT 1::bigint FROM pg_advisory_unlock({lock})")).await;
    api.becomes(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_api_is_ready_and_the_worker_is_not_and_what_waits_is_told() {
    let stack = Stack::without_broker().await;
    let (api, worker) = (stack.start_api(&[]).await, stack.start_worker(&[]).await);
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.database.execute("UPDATE outbox SET created_at = created_at - interval '50 s'", &[]).await;
    let scrape = Scrape::of(&api.ops).await;
    scrape.is([
        (r#"broker_up{part="api"}"#, 0),
        (r#"check_ok{part="api",check="broker"}"#, 0),
        (r#"outbox_messages{what="mail"}"#, 1),
        (r#"outbox_messages{what="event"}"#, 1),
    ]);
    for what in ["mail", "event"] {
        let oldest = scrape.value(&format!(r#"outbox_oldest_seconds{{what="{what}"}}"#));
        assert!((50.0..70.0).contains(&oldest), "{oldest}");
    }
    assert_eq!(api.asked_if_ready().await.0, 200);
    let scrape = Scrape::of(&worker.ops).await;
    scrape.is([(r#"broker_up{part="worker"}"#, 0), (r#"check_ok{part="worker",check="broker"}"#, 0)]);
    assert!(!scrape.has("queue_messages") && !scrape.has("parked_messages"));
    assert_eq!(worker.asked_if_ready().await.0, 503);
}

/// Nobody else would miss it before something is to be parked.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_found_missing_is_made_again() {
    let stack = Stack::prepare(&[]).await;
    let worker = stack.start_worker(&[]).await;
    let parked = stack.topology.parked.as_str();
    stack.amqp().await.queue_delete(parked.into(), QueueDeleteOptions::default()).await.unwrap();
    assert!(!Scrape::of(&worker.ops).await.has("parked_messages"));
    Scrape::when(&worker.ops, |scrape| scrape.has("parked_messages")).await.is([("queue_messages", 0)]);
}

/// What it says about one letter is no reason to worry; that it cannot be talked to is one, until it can.
#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_is_well_when_it_was_at_the_last_letter() {
    let stack = Stack::prepare(&[]).await;
    let (api, worker) = (stack.start_api(&[]).await, stack.start_worker(&[]).await);
    stack.mail_server.script("unknown@example.com", [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
    let refused = api.client.register("unknown@example.com").await.registration();
    api.client.receipt_when(&refused, "undeliverable").await;
    let scrape = Scrape::of(&worker.ops).await;
    scrape.is([
        (r#"smtp_results_total{class="5xx"}"#, 1),
        (r#"messages_total{kind="send-code",outcome="undeliverable"}"#, 1),
        (r#"check_ok{part="worker",check="smtp"}"#, 1),
        ("smtp_last_success_timestamp_seconds", 0),
    ]);

    stack.mail_server.every_connection(Some(Behaviour::Cut(Stage::Greeting)));
    api.client.register(ADA).await;
    let in_trouble = |scrape: &Scrape| scrape.value(r#"check_ok{part="worker",check="smtp"}"#) == 0.0;
    let scrape = Scrape::when(&worker.ops, in_trouble).await;
    assert!(scrape.value(r#"smtp_results_total{class="connection"}"#) >= 1.0);
    assert!(scrape.value(r#"messages_total{kind="send-code",outcome="retried"}"#) >= 1.0);
    let (status, told) = worker.asked_if_ready().await;
    assert!(status == 200 && told.contains(r#""smtp":"failing""#), "{told}");
    stack.mail_server.every_connection(None);
    stack.mail_server.mail_to(ADA).await;
    Scrape::when(&worker.ops, |scrape| !in_trouble(scrape)).await;
}
