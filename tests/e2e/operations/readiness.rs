//! Readiness, `/health` and metrics while a dependency is down: answered in time, without stale numbers.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use serde_json::{Value, json};

use support::{
    client::{Client, concurrently},
    database::{connect, with_session_setting},
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::{Proxy, ProxyMode},
    scrape::Scrape,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// In-memory counters are reported; the outbox gauges, which need Postgres, are left out.
#[tokio::test(flavor = "multi_thread")]
async fn scrape_is_answered_while_postgres_is_silent() {
    let stack = Stack::without_broker().await;
    let (proxy, url) = Proxy::in_front_of(&stack.database.service_url).await;
    let api = stack.start_api(&[("DATABASE_URL", &url)]).await;
    api.wait_for_readiness(200).await;
    assert!(Scrape::of(&api.ops).await.has(r#"outbox_messages{what="mail"}"#));
    proxy.set(ProxyMode::Stalled);
    assert_eq!(api.client.register(ADA).await.problem().1, "unavailable");
    let scrape = Scrape::wait_until(&api.ops, |scrape| !scrape.has(r#"outbox_messages{what="mail"}"#)).await;
    scrape.assert_values([
        (r#"registrations_total{outcome="unavailable"}"#, 1),
        (r#"check_ok{part="api",check="postgres"}"#, 0),
        (r#"check_ok{part="api",check="hash_pool"}"#, 1),
    ]);
    assert!(scrape.value(r#"postgres_errors_total{part="api"}"#) >= 1.0);
    assert_eq!(api.readiness().await.0, 503);
    proxy.set(ProxyMode::Open);
    api.wait_for_readiness(200).await;
    Scrape::wait_until(&api.ops, |scrape| scrape.has(r#"outbox_messages{what="mail"}"#)).await;
}

/// The connections in the pool of the API.
const API_CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = 'vestibule'";

/// Waits until `GET /health` reports that Postgres is up.
async fn health_reports_postgres_up(client: &Client) {
    let polling = async {
        while client.get("/health").await.json()["checks"]["postgres"] != "ok" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), polling).await.expect("/health never reports Postgres as up");
}

/// `GET /health` needs no account, so it must not use up the connections that registrations need: concurrent requests
/// share one database query, on one connection.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_health_requests_share_one_database_query() {
    // Nothing else may use the pool: without a broker the relay is idle, and cleanup runs once an hour. Another
    // connection would prepare its statements, and wait for the lock as well.
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[("HOUSEKEEPING_SECONDS", "3600")]).await;
    health_reports_postgres_up(&api.client).await;
    // Not the connection that counts: within a transaction, pg_stat_activity does not change.
    let (locker, connection) = tokio_postgres::connect(&stack.database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    locker.batch_execute("BEGIN; LOCK TABLE codes").await.unwrap();
    let requests = concurrently(50, {
        let client = api.client.clone();
        move |_| {
            let client = client.clone();
            async move { client.get("/health").await }
        }
    });
    let requests = tokio::spawn(requests);
    // Every query waits for the lock until it times out. Without sharing, the requests would occupy all 16 connections;
    // shared, one, besides the relay's and those of queries that timed out a moment ago.
    let mut most_connections = 0;
    while !requests.is_finished() {
        most_connections = most_connections.max(stack.database.count(API_CONNECTIONS).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(most_connections < 8, "{most_connections} connections for requests that share one query");
    let answers = requests.await.unwrap();
    assert!(answers.iter().all(|answer| answer.json()["checks"]["postgres"] == "failing"), "{answers:?}");
    locker.batch_execute("ROLLBACK").await.unwrap();
    health_reports_postgres_up(&api.client).await;
}

/// If a database that is slow for some requests made all APIs unready, all other requests would fail, too.
#[tokio::test(flavor = "multi_thread")]
async fn exhausted_pool_is_reported_and_does_not_make_the_api_unready() {
    let stack = Stack::without_broker().await;
    // Requests wait for longer than a health check.
    let database_url = with_session_setting(&stack.database.service_url, "lock_timeout=5s");
    let settings = [("DATABASE_URL", &*database_url), ("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];
    let api = stack.start_api(&settings).await;
    api.wait_for_readiness(200).await;
    let locker = connect(&stack.database.url).await;
    locker.batch_execute("BEGIN; LOCK TABLE registrations").await.unwrap();
    // More than there are connections: the others wait for one.
    let requests = tokio::spawn(concurrently(200, {
        let client = api.client.clone();
        move |n| {
            let client = client.clone();
            async move { client.register(&format!("u{n}@example.com")).await }
        }
    }));
    let mut reports = vec![];
    while !requests.is_finished() {
        reports.push(api.readiness().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(reports.iter().all(|(status, _)| *status == 200), "{reports:?}");
    assert!(reports.iter().any(|(_, report)| report.contains(r#""pool":"failing""#)), "{reports:?}");
    locker.batch_execute("ROLLBACK").await.unwrap();
    assert!(requests.await.unwrap().iter().any(|answer| answer.status == 503));
}

/// With an older schema, tables could be missing. A newer schema is accepted: during a rollout, both versions run.
#[tokio::test(flavor = "multi_thread")]
async fn api_is_ready_when_schema_is_new_enough() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    api.wait_for_readiness(200).await;
    let behind = "UPDATE migrations SET version = -version WHERE version = (SELECT max(version) FROM migrations)";
    assert_eq!(stack.database.execute(behind, &[]).await, 1);
    api.wait_for_readiness(503).await;
    let (_, report) = api.readiness().await;
    assert!(report.contains(r#""migrations":"failing""#) && report.contains(r#""postgres":"ok""#), "{report}");
    let newer = "UPDATE migrations SET version = 1 - version WHERE version < 0";
    assert_eq!(stack.database.execute(newer, &[]).await, 1);
    api.wait_for_readiness(200).await;
}

/// An orchestrator must not restart a process that waits for a slow migration: it is alive, and not ready.
#[tokio::test(flavor = "multi_thread")]
async fn process_waiting_to_migrate_is_live_not_ready() {
    let stack = Stack::without_broker().await;
    let lock = 0x0076_6573_7469_6275_i64;
    stack.database.count(&format!("SELECT 1::bigint FROM pg_advisory_lock({lock})")).await;
    let migrating = [("MIGRATE_ON_START", "true"), ("MIGRATE_DATABASE_URL", stack.database.url.as_str())];
    let api = stack.start_api(&migrating).await;
    let worker = stack.start_worker(&migrating).await;
    for (process, name) in [(&api, "api"), (&worker, "worker")] {
        assert_eq!(process.ops.request("GET", "/health/live").send().await.unwrap().status(), 200);
        let (status, report) = process.readiness().await;
        let report: Value = serde_json::from_str(&report).unwrap();
        let migrating = json!({ "checks": { "migrations": "failing" }, "status": "failing" });
        assert_eq!((status, report), (503, migrating));
        let scrape = Scrape::of(&process.ops).await;
        assert!(scrape.has(&format!(r#"check_ok{{part="{name}",check="migrations"}}"#)));
        // The alarm for missing processes counts `build_info`: a process that only migrates must not be counted.
        assert!(!scrape.text.contains("build_info{"), "{}", scrape.text);
    }
    stack.database.count(&format!("SELECT 1::bigint FROM pg_advisory_unlock({lock})")).await;
    api.wait_for_readiness(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_broker_api_is_ready_worker_is_not() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.database.execute("UPDATE outbox SET created_at = created_at - interval '50 s'", &[]).await;
    let scrape = Scrape::of(&api.ops).await;
    scrape.assert_values([
        (r#"broker_up{part="api"}"#, 0),
        (r#"check_ok{part="api",check="broker"}"#, 0),
        (r#"outbox_messages{what="mail"}"#, 1),
        (r#"outbox_messages{what="event"}"#, 1),
    ]);
    for what in ["mail", "event"] {
        let oldest = scrape.value(&format!(r#"outbox_oldest_seconds{{what="{what}"}}"#));
        assert!((50.0..70.0).contains(&oldest), "{oldest}");
    }
    assert_eq!(api.readiness().await.0, 200);
    let scrape = Scrape::of(&worker.ops).await;
    scrape.assert_values([(r#"broker_up{part="worker"}"#, 0), (r#"check_ok{part="worker",check="broker"}"#, 0)]);
    assert!(!scrape.has(r#"queue_messages{queue="send-code"}"#) && !scrape.has("parked_messages"));
    assert_eq!(worker.readiness().await.0, 503);
}

/// The queue of parked messages: otherwise its absence would be noticed only when a message is to be parked.
#[tokio::test(flavor = "multi_thread")]
async fn missing_parked_queue_is_declared_again() {
    let stack = Stack::prepare(&[]).await;
    let worker = stack.start_worker(&[]).await;
    let parked = stack.topology.parked.as_str();
    stack.open_channel().await.queue_delete(parked.into(), QueueDeleteOptions::default()).await.unwrap();
    assert!(!Scrape::of(&worker.ops).await.has("parked_messages"));
    Scrape::wait_until(&worker.ops, |scrape| scrape.has("parked_messages"))
        .await
        .assert_values([(r#"queue_messages{queue="send-notice"}"#, 0)]);
}

/// A rejected mail leaves the check ok; a mail server that cannot be reached makes it fail until the next success.
#[tokio::test(flavor = "multi_thread")]
async fn smtp_check_follows_the_last_delivery() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    stack.mail_server.script("unknown@example.com", [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
    let refused = api.client.register("unknown@example.com").await.registration();
    api.client.wait_for_receipt(&refused, "undeliverable").await;
    let scrape = Scrape::of(&worker.ops).await;
    scrape.assert_values([
        (r#"smtp_results_total{class="5xx"}"#, 1),
        (r#"messages_total{kind="send-code",outcome="undeliverable"}"#, 1),
        (r#"check_ok{part="worker",check="smtp"}"#, 1),
        ("smtp_last_success_timestamp_seconds", 0),
    ]);

    stack.mail_server.every_connection(Some(Behaviour::Cut(Stage::Greeting)));
    api.client.register(ADA).await;
    let smtp_check_fails = |scrape: &Scrape| scrape.value(r#"check_ok{part="worker",check="smtp"}"#) == 0.0;
    let scrape = Scrape::wait_until(&worker.ops, smtp_check_fails).await;
    assert!(scrape.value(r#"smtp_results_total{class="connection"}"#) >= 1.0);
    assert!(scrape.value(r#"messages_total{kind="send-code",outcome="retried"}"#) >= 1.0);
    let (status, report) = worker.readiness().await;
    assert!(status == 200 && report.contains(r#""smtp":"failing""#), "{report}");
    stack.mail_server.every_connection(None);
    stack.mail_server.mail_to(ADA).await;
    Scrape::wait_until(&worker.ops, |scrape| !smtp_check_fails(scrape)).await;
}
