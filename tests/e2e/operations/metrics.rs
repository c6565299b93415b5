//! Metrics: exact counts after known requests, and a bounded number of series.

use std::process::Command;

use lapin::{BasicProperties, options::BasicPublishOptions};
use serde_json::json;
use shared::telemetry::metrics::names;

use crate::{
    limits::code_guesses::different_code,
    registration::not_me::{not_me_path, submit_not_me},
};
use support::{
    client::{Client, PASSWORD, send},
    process::{Process, program},
    scrape::Scrape,
    stack::Stack,
    standalone::StandaloneFolder,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// Ada registers, enters a wrong code, activates and logs in; Bob registers, repeats the request, and asks for another
/// code too soon.
async fn send_known_requests(stack: &Stack, client: &Client) -> String {
    let registration = client.register(ADA).await.registration();
    let code = stack.mail_server.mail_to(ADA).await.code();
    client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(client.activate(ADA, &different_code(&code)).await.status, 422);
    assert_eq!(client.activate(ADA, &code).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 2).await;
    assert_eq!(client.login(ADA, PASSWORD).await.status, 200);
    assert_eq!(client.login(ADA, "not the password").await.status, 401);
    for _ in 0..2 {
        assert_eq!(client.register_with_key("a-key", BOB, PASSWORD).await.status, 202);
    }
    assert_eq!(client.resend(BOB).await.problem(), (429, "too-many-requests".into()));
    stack.mail_server.mail_to(BOB).await;
    let recorded = "SELECT count(*) FROM deliveries WHERE outcome = 'delivered'";
    stack.database.wait_for_count(recorded, 3).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    registration
}

/// The values of the API after `send_known_requests`.
const API_VALUES: [(&str, u32); 27] = [
    (r#"registrations_total{outcome="accepted"}"#, 2),
    (r#"registrations_total{outcome="repeated"}"#, 1),
    (r#"resends_total{outcome="accepted"}"#, 0),
    (r#"resends_total{outcome="too-many-requests"}"#, 1),
    (r#"codes_minted_total{purpose="activate",length="4"}"#, 2),
    (r#"wrong_guesses_total{purpose="activate",length="4"}"#, 1),
    (r#"activations_total{outcome="wrong-code"}"#, 1),
    (r#"activations_total{outcome="accepted"}"#, 1),
    (r#"logins_total{outcome="accepted"}"#, 1),
    (r#"logins_total{outcome="unauthenticated"}"#, 1),
    (r#"limiter_hits_total{scope="address"}"#, 1),
    (r#"limiter_hits_total{scope="network"}"#, 0),
    (r#"http_requests_total{method="POST",path="/v1/users/activate",status="200"}"#, 1),
    (r#"http_request_seconds_count{path="/v1/users/activate"}"#, 2),
    ("hash_seconds_count", 8),
    ("hash_queue_wait_seconds_count", 8),
    (r#"hash_refusals_total{reason="full"}"#, 0),
    ("hash_queue_length", 0),
    (r#"outbox_published_total{what="mail",outcome="done"}"#, 3),
    (r#"outbox_published_total{what="event",outcome="done"}"#, 3),
    (r#"outbox_messages{what="mail"}"#, 0),
    (r#"outbox_oldest_seconds{what="event"}"#, 0),
    (r#"broker_up{part="api"}"#, 1),
    ("broker_blocked", 0),
    (r#"check_ok{part="api",check="migrations"}"#, 1),
    (r#"check_ok{part="api",check="hash_pool"}"#, 1),
    (r#"postgres_errors_total{part="api"}"#, 0),
];

/// The values of the worker after `send_known_requests` and an unreadable message.
const WORKER_VALUES: [(&str, u32); 11] = [
    (r#"messages_total{kind="send-code",outcome="delivered"}"#, 2),
    (r#"messages_total{kind="activated",outcome="delivered"}"#, 1),
    (r#"messages_total{kind="-",outcome="parked"}"#, 1),
    (r#"delivery_seconds_count{kind="send-code"}"#, 2),
    (r#"delivery_seconds_count{kind="activated"}"#, 1),
    (r#"smtp_results_total{class="2xx"}"#, 3),
    ("smtp_seconds_count", 3),
    ("parked_messages", 1),
    (r#"queue_messages{queue="send-code"}"#, 0),
    ("in_hand", 0),
    (r#"check_ok{part="worker",check="smtp"}"#, 1),
];

#[tokio::test(flavor = "multi_thread")]
async fn known_requests_are_counted_exactly_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    let registration = send_known_requests(&stack, &api.client).await;
    let exchange = stack.topology.exchange.as_str();
    let key = stack.topology.codes.routing_key;
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    stack
        .open_channel()
        .await
        .basic_publish(exchange.into(), key.into(), options, b"poison", properties)
        .await
        .unwrap();
    stack.wait_for_queue_length(&stack.topology.parked, 1).await;

    let api = Scrape::of(&api.ops).await;
    api.assert_values(API_VALUES);
    assert!(api.value("connections_open") >= 1.0 && api.value("hash_threads") >= 1.0);

    // The worker counts a message a moment after its delivery is on record.
    let has_values = |scrape: &Scrape| {
        WORKER_VALUES.iter().all(|(series, value)| scrape.has(series) && scrape.value(series) == f64::from(*value))
    };
    let worker = Scrape::wait_until(&worker.ops, has_values).await;
    assert!(worker.value("smtp_last_success_timestamp_seconds") > 1_600_000_000.0);
    // `secret_leaks` looks for secrets; here: no email address, and no id.
    for text in [&api.text, &worker.text] {
        assert!(!text.contains('@') && !text.contains("example") && !text.contains(&registration), "{text}");
    }
    let families: Vec<_> = api.families().chain(worker.families()).collect();
    for known in names::ALL {
        assert!(families.contains(&known.name), "{} is never exported", known.name);
    }
}

/// Rows that are deleted while a snapshot is held cannot be vacuumed.
#[tokio::test(flavor = "multi_thread")]
async fn held_snapshot_and_dead_rows_are_reported() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let (mut holder, connection) = tokio_postgres::connect(&stack.database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let isolation = tokio_postgres::IsolationLevel::RepeatableRead;
    let snapshot = holder.build_transaction().isolation_level(isolation).start().await.unwrap();
    snapshot.query_one("SELECT 1", &[]).await.unwrap();
    let insert = "INSERT INTO budgets (subject, kind, used_at) \
        SELECT int4send(n), 'codes', '{2099-01-01}' FROM generate_series(1, 100) AS n";
    for _ in 0..21 {
        stack.database.execute(insert, &[]).await;
        stack.database.execute("DELETE FROM budgets", &[]).await;
    }
    let (dead, age) =
        (r#"postgres_rows{table="budgets",state="dead"}"#, r#"postgres_age_transactions{of="oldest_snapshot"}"#);
    let held = Scrape::wait_until(&api.ops, |scrape| scrape.value(dead) == 2_000.0).await;
    assert!(held.value(age) >= 40.0, "{}", held.text);
    assert!(held.value(r#"postgres_age_transactions{of="oldest_unfrozen"}"#) >= held.value(age));
    snapshot.commit().await.unwrap();
    Scrape::wait_until(&api.ops, |scrape| scrape.value(age) < held.value(age)).await;
}

/// A series lives as long as the process, so unknown paths and methods must share one.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_create_no_new_series() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let send_unknown_paths = async |n: usize| {
        let id = support::database::random_id();
        for path in
            [format!("/{id}"), format!("/v1/registrations/{id}"), format!("/not-me/{id}"), format!("/v1/{n}/{id}")]
        {
            for method in ["GET", "POST", "BREW"] {
                send(api.client.request(method, &path)).await;
            }
        }
    };
    send_unknown_paths(0).await;
    let before = Scrape::of(&api.ops).await;
    for n in 1..10 {
        send_unknown_paths(n).await;
    }
    let after = Scrape::of(&api.ops).await;
    assert_eq!(before.series(), after.series());
    let unknown = r#"http_requests_total{method="GET",path="-",status="404"}"#;
    assert_eq!((before.value(unknown), after.value(unknown)), (2.0, 20.0));
}

const DELIVERED: &str = "SELECT count(*) FROM deliveries WHERE outcome = 'delivered'";

/// Everything that a stranger can do to an address: sign up, ask for another code, for a password, and try one.
async fn play_stranger(stack: &Stack, email: &str) {
    let client = &stack.client;
    let mails = stack.database.count(DELIVERED).await;
    let registration = client.register_with(email, "a stranger's password").await.registration();
    stack.database.wait_for_count(DELIVERED, mails + 1).await;
    assert_eq!(client.login(email, "not the password").await.status, 401);
    let wrong = client.activate_with(email, "a stranger's password", &json!({ "code": "12345" })).await;
    assert_eq!(wrong.status, 422);
    client.request_reset(email).await;
    stack.database.wait_for_count(DELIVERED, mails + 2).await;
    assert_eq!(client.get(&format!("/v1/registrations/{registration}")).await.status, 200);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
}

/// The counters that changed, and by how much; not those of time.
fn changes(before: &Scrape, after: &Scrape) -> Vec<(String, f64)> {
    let is_count =
        |series: &str| ["_total", "_count"].iter().any(|end| series.split('{').next().unwrap().ends_with(end));
    let change = |series: &str| after.value(series) - if before.has(series) { before.value(series) } else { 0.0 };
    let counts = after.series().into_iter().filter(|series| is_count(series));
    counts.map(|series| (series.to_owned(), change(series))).filter(|(_, change)| *change != 0.0).collect()
}

/// I-15: metrics and messages do not reveal whether an address has an account.
#[tokio::test(flavor = "multi_thread")]
async fn s_37_metrics_and_messages_do_not_reveal_accounts() {
    let mut stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    stack.client = api.client.clone();
    stack.create_account(ADA).await;
    stack.database.wait_for_count(DELIVERED, 2).await;
    let mut scrapes = vec![];
    for email in ["warm@example.com", ADA, "unknown@example.com"] {
        play_stranger(&stack, email).await;
        let mails = stack.database.count(DELIVERED).await.to_string();
        let delivered = |scrape: &Scrape| {
            let series = scrape.series();
            let delivered =
                series.iter().filter(|name| name.starts_with("messages_total") && name.contains("delivered"));
            delivered.map(|name| scrape.value(name)).sum::<f64>().to_string()
        };
        let of_worker =
            Scrape::wait_until(&worker.ops, |scrape| delivered(scrape) == mails && scrape.value("in_hand") == 0.0);
        scrapes.push((Scrape::of(&api.ops).await, of_worker.await));
    }
    let [(api_0, worker_0), (api_1, worker_1), (api_2, worker_2)] = &scrapes[..] else { unreachable!() };
    let (known, unknown) = (changes(api_0, api_1), changes(api_1, api_2));
    assert!(known.iter().any(|(series, _)| series.starts_with("registrations_total")), "{known:?}");
    assert_eq!(known, unknown);
    assert_eq!(changes(worker_0, worker_1), changes(worker_1, worker_2));

    worker.stop().await.unwrap();
    let mut messages = vec![];
    for email in [ADA, "unknown@example.com"] {
        api.client.register_with(email, "a stranger's password").await;
        api.client.request_reset(email).await;
        stack.wait_for_queue_length(&stack.topology.codes.name, 2).await;
        let channel = stack.open_channel().await;
        let mut kinds = vec![];
        for _ in 0..2 {
            let options = lapin::options::BasicGetOptions { no_ack: true };
            let message = channel.basic_get(stack.topology.codes.name.as_str().into(), options).await.unwrap().unwrap();
            let body: serde_json::Value = serde_json::from_slice(&message.delivery.data).unwrap();
            kinds.push((body["kind"].to_string(), message.delivery.routing_key.to_string()));
        }
        kinds.sort();
        messages.push(kinds);
    }
    assert_eq!(messages[0], messages[1]);
}

/// I-15: of a muted mailbox, the first reset code and unlock link are mailed if there is an account, and only then.
#[tokio::test(flavor = "multi_thread")]
async fn s_37_metrics_and_log_do_not_reveal_mails_of_muted_accounts() {
    let mut stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let mut worker = Command::new(program("worker"));
    worker.env_clear().envs(stack.variables(&[("OPS_ADDR", "127.0.0.1:0")]));
    let mut worker = Process::start(&mut worker);
    let worker_ops = Client::new(format!("http://{}", worker.address("ops")));
    stack.client = api.client.clone();
    stack.create_account(ADA).await;
    let recorded = "SELECT count(*) FROM deliveries";
    let mut messages = 2;
    let mut seen = vec![];
    for (email, mails_before) in [(ADA, 2), ("unknown@example.com", 0)] {
        stack.client.register(email).await;
        messages += 1;
        let link = not_me_path(&stack.mail_server.nth_mail_to(email, mails_before + 1).await);
        assert_eq!(submit_not_me(&stack.client, &link, "").await.status, 200);
        let mut scrapes = vec![];
        for with_requests in [false, true] {
            if with_requests {
                messages += 2;
                stack.client.request_reset(email).await;
                let attacker = stack.client.from_address("198.51.100.7");
                for _ in 0..6 {
                    attacker.login(email, "not the password").await;
                }
            }
            stack.database.wait_for_count(recorded, messages).await;
            stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
            let handled = |scrape: &Scrape| {
                let series = scrape.series().into_iter().filter(|series| series.starts_with("messages_total"));
                series.map(|series| scrape.value(series)).sum::<f64>().to_string()
            };
            let of_worker = Scrape::wait_until(&worker_ops, |scrape| {
                handled(scrape) == messages.to_string() && scrape.value("in_hand") == 0.0
            });
            scrapes.push((Scrape::of(&api.ops).await, of_worker.await));
        }
        let [(api_0, worker_0), (api_1, worker_1)] = &scrapes[..] else { unreachable!() };
        seen.push((changes(api_0, api_1), changes(worker_0, worker_1)));
    }
    assert_eq!(
        (stack.mail_server.mails_to(ADA).len(), stack.mail_server.mails_to("unknown@example.com").len()),
        (5, 1)
    );
    assert_eq!(seen[0], seen[1]);
    let (code, log) = worker.terminate();
    assert_eq!(code, Some(0), "{log}");
    let outcomes: Vec<_> = log.lines().filter(|line| line.contains("outcome recorded")).collect();
    assert_eq!(outcomes.len(), 8, "{log}");
    assert!(outcomes.iter().all(|line| line.contains("outcome=Delivered")), "{outcomes:#?}");
}

/// In the one-process binary, API and worker share one ops server.
#[tokio::test(flavor = "multi_thread")]
async fn standalone_exports_api_and_worker_metrics() {
    let home = StandaloneFolder::new();
    let running = home.start(&[]);
    running.sign_up_and_activate(ADA).await;
    let ops = running.banner.iter().find_map(|line| line.trim().strip_prefix("health")).unwrap().trim();
    let ops = Client::new(ops.trim_end_matches("/health/ready").to_owned());
    let scrape = Scrape::wait_until(&ops, |scrape| {
        scrape.value(r#"messages_total{kind="activated",outcome="delivered"}"#) > 0.0
    });
    let scrape = scrape.await;
    scrape.assert_values([
        (r#"registrations_total{outcome="accepted"}"#, 1),
        (r#"messages_total{kind="send-code",outcome="delivered"}"#, 1),
        (r#"check_ok{part="api",check="postgres"}"#, 1),
        (r#"check_ok{part="worker",check="postgres"}"#, 1),
        (r#"check_ok{part="worker",check="smtp"}"#, 1),
    ]);
    assert_eq!(scrape.families().filter(|name| *name == "vestibule_check_ok").count(), 1);
    running.stop();
}

/// 40 seconds pass in the database before the mail is sent: the histogram must show them.
#[tokio::test(flavor = "multi_thread")]
async fn delivery_time_is_measured_by_the_database_clock() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    api.client.register(ADA).await;
    stack.database.age(40).await;
    let worker = stack.start_worker(&[]).await;
    stack.mail_server.mail_to(ADA).await;
    let count = r#"delivery_seconds_count{kind="send-code"}"#;
    let scrape = Scrape::wait_until(&worker.ops, |scrape| scrape.value(count) > 0.0).await;
    let sum = scrape.value(r#"delivery_seconds_sum{kind="send-code"}"#);
    assert!((40.0..60.0).contains(&sum), "{sum}");
    scrape.assert_values([(r#"delivery_seconds_bucket{kind="send-code",le="30"}"#, 0)]);
}

/// Requested resets, a wrong code and an invalid request; codes for resets have a length of their own.
#[tokio::test(flavor = "multi_thread")]
async fn password_resets_are_counted_by_outcome() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let _worker = stack.start_worker(&[]).await;
    let receipt = api.client.request_reset(ADA).await.receipt();
    stack.mail_server.mail_to(ADA).await;
    api.client.wait_for_reset_receipt(&receipt, "sent").await;
    assert_eq!(api.client.reset_to(&receipt, "12345678", "another password").await.problem().1, "wrong-code");
    let invalid = json!({ "email": "not-an-address" });
    assert_eq!(api.client.post("/v1/users/password/forgot", &invalid).await.status, 422);
    Scrape::of(&api.ops).await.assert_values([
        (r#"password_resets_total{outcome="asked"}"#, 1),
        (r#"password_resets_total{outcome="changed"}"#, 0),
        (r#"password_resets_total{outcome="wrong-code"}"#, 1),
        (r#"password_resets_total{outcome="invalid-input"}"#, 1),
        (r#"codes_minted_total{purpose="reset",length="8"}"#, 1),
        (r#"wrong_guesses_total{purpose="reset",length="8"}"#, 1),
    ]);
}
