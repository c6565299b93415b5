//! `api outbox`: what waits, and how what was lost on its way is told again.

mod muted;

use lapin::options::QueueDeleteOptions;
use serde_json::{Value, json};

use support::forgot_password::NEW;
use support::{
    client::{PASSWORD, send},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// As `api outbox …` answers.
async fn outbox(stack: &Stack, line: &str) -> Value {
    let words = format!("outbox {line} --json");
    let Some(api::Command::Tool(tool)) = api::Command::parse(words.split_whitespace().map(str::to_owned)) else {
        panic!("no tool: {line}")
    };
    let config = api::Config::load_from(stack.variables(&[])).unwrap();
    serde_json::from_str(&api::answer(config, tool).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_the_outbox_is_counted() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(outbox(&stack, "").await, json!({ "waiting": 0, "leased": 0, "oldest_seconds": null }));
    for n in 0..3 {
        assert_eq!(api.client.register(&format!("u{n}@example.com")).await.status, 202);
    }
    let older = "UPDATE outbox SET created_at = created_at - interval '100 s', \
        leased_until = clock_timestamp() + interval '9 s' WHERE id = (SELECT min(id::text)::uuid FROM outbox)";
    stack.database.execute(older, &[]).await;
    let state = outbox(&stack, "").await;
    // A mail and an event for each.
    assert_eq!((&state["waiting"], &state["leased"]), (&json!(6), &json!(1)));
    assert!((100..120).contains(&state["oldest_seconds"].as_i64().unwrap()), "{state}");
    // What is there is not written again.
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 0, "warnings": 0, "unreadable": 0 }));
    assert_eq!(stack.database.count("SELECT count(*) FROM outbox").await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_a_queue_that_is_gone_is_mailed_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    api.client.register("owner@example.com").await;
    let code = stack.mail_server.mail_to("owner@example.com").await.code();
    stack.database.becomes("SELECT count(*) FROM deliveries", 1).await;
    worker.stop().await.unwrap();
    // In the queue: a welcome, the mail to whom has an account, three codes, and one that is over by now.
    assert_eq!(api.client.activate("owner@example.com", &code).await.status, 200);
    api.client.register("owner@example.com").await;
    let late = api.client.register("late@example.com").await.registration();
    let mut registrations = Vec::new();
    for n in 0..3 {
        registrations.push(api.client.register(&format!("u{n}@example.com")).await.registration());
    }
    stack.queue_holds(&stack.topology.queue, 6).await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    let dead = "UPDATE codes SET deadline = clock_timestamp() WHERE registration_id = $1::text::uuid";
    stack.database.execute(dead, &[&late]).await;
    let queue = stack.topology.queue.as_str();
    stack.amqp().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();

    stack.start_worker(&[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 4, "welcomes": 1, "warnings": 0, "unreadable": 0 }));
    for (n, registration) in registrations.iter().enumerate() {
        let email = format!("u{n}@example.com");
        let code = stack.mail_server.mail_to(&email).await.code();
        api.client.receipt_when(registration, "sent").await;
        assert_eq!(api.client.activate_with(&email, PASSWORD, &json!({ "code": code })).await.status, 200);
    }
    // Each of the three was welcomed as well.
    stack.database.becomes("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 1 + 5 + 3).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 0, "warnings": 0, "unreadable": 0 }));
    let counts = ["u0", "u1", "u2", "owner", "late"]
        .map(|name| stack.mail_server.mails_to(&format!("{name}@example.com")).len());
    assert_eq!(counts, [2, 2, 2, 3, 0]);
}

/// Nobody can see that the queue was not lost at all: then there are two of each, and the second mails nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_in_the_queue_is_mailed_once_as_well() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.queue_holds(&stack.topology.queue, 1).await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(outbox(&stack, "reemit").await["codes"], 1);
    stack.queue_holds(&stack.topology.queue, 2).await;
    let worker = stack.start_worker(&[]).await;
    stack.mail_server.mail_to(ADA).await;
    stack.database.becomes("SELECT count(*) FROM deliveries", 1).await;
    api.client.register("last@example.com").await;
    stack.mail_server.mail_to("last@example.com").await;
    worker.stop().await.unwrap();
    stack.queue_holds(&stack.topology.queue, 0).await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_welcome_is_written_again_for_a_day() {
    let stack = Stack::without_broker().await;
    let users = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
        SELECT md5(hours::text)::uuid, hours || '@example.com', '', now() - hours * interval '1 h', now() \
        FROM unnest(ARRAY[1, 23, 25, 1000]) AS hours";
    stack.database.execute(users, &[]).await;
    let welcomed = "INSERT INTO deliveries (message_id, outcome) VALUES (md5('1')::uuid, 'delivered')";
    stack.database.execute(welcomed, &[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 1, "warnings": 0, "unreadable": 0 }));
    let right = "SELECT count(*) FROM outbox WHERE id = md5('23')::uuid AND message->>'kind' = 'activated'";
    assert_eq!(stack.database.count(right).await, 1);
}

/// Of whoever has an account, of whoever has none, and of whoever has a new password; not what is of no use any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_its_way_about_passwords_is_mailed_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    let code = stack.mail_server.mail_to(ADA).await.code();
    api.client.receipt_when(&registration, "sent").await;
    assert_eq!(api.client.activate(ADA, &code).await.status, 200);
    stack.database.becomes("SELECT count(*) FROM deliveries", 2).await;
    worker.stop().await.unwrap();
    // The first of these is closed by the change.
    let closed = api.client.forgot(ADA).await.receipt();
    let token = api.client.token(ADA).await;
    let body = json!({ "password": PASSWORD, "new_password": NEW });
    let change = api.client.request("POST", "/v1/users/me/password").bearer_auth(&token).json(&body);
    assert_eq!(send(change).await.status, 204);
    let (known, unknown) =
        (api.client.forgot(ADA).await.receipt(), api.client.forgot("bob@example.com").await.receipt());
    stack.queue_holds(&stack.topology.queue, 4).await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    let queue = stack.topology.queue.as_str();
    stack.amqp().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();

    stack.start_worker(&[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 2, "welcomes": 0, "warnings": 1, "unreadable": 0 }));
    for receipt in [&known, &unknown] {
        api.client.reset_receipt_when(receipt, "sent").await;
    }
    stack.database.becomes("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 2 + 3).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 0, "warnings": 0, "unreadable": 0 }));
    assert_eq!(api.client.reset_receipt(&closed).await["status"], "queued");
    let mut subjects: Vec<_> = stack.mail_server.mails().into_iter().skip(2).map(|mail| mail.subject).collect();
    subjects.sort();
    assert_eq!(
        subjects,
        ["No account for this email address", "Your password reset code", "Your password was changed"]
    );
}

/// More than one batch, many of them with the same deadline; and codes of a key that is not here.
#[tokio::test(flavor = "multi_thread")]
async fn many_are_written_again_and_none_twice() {
    const CODES: i64 = 1_300;
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    let ring = shared::codes::CodeSecrets::parse(&stack.variables(&[])["CODE_SECRETS"]).unwrap();
    let ids: Vec<_> = (1..=CODES).map(|n| uuid::Uuid::from_u128(n.unsigned_abs().into())).collect();
    let decoy = |id: &uuid::Uuid| ring.newest().verifier(*id, shared::codes::DECOY).to_vec();
    let hashes: Vec<_> = ids.iter().map(decoy).collect();
    let people = "INSERT INTO registrations (id, email, password_hash) \
        SELECT id, id::text || '@example.com', '' FROM unnest($1::uuid[]) AS id";
    stack.database.execute(people, &[&ids]).await;
    let codes = "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, ttl_seconds, \
        deadline, resend_at, created_at) SELECT id, id, hash, CASE WHEN n <= 7 THEN 'other' ELSE 'test' END, 4, 3, 60, \
        now() + interval '300 s' + (n / 400) * interval '1 s', now(), now() \
        FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS t (id, hash, n)";
    stack.database.execute(codes, &[&ids, &hashes]).await;

    assert_eq!(
        outbox(&stack, "reemit").await,
        json!({ "codes": CODES - 7, "welcomes": 0, "warnings": 0, "unreadable": 7 })
    );
    let right =
        "SELECT count(*) FROM outbox WHERE message->>'kind' = 'already-registered' AND message->>'id' = id::text";
    assert_eq!(stack.database.count(right).await, CODES - 7);
    assert_eq!(stack.database.count("SELECT count(*) FROM outbox").await, CODES - 7 + 2);
    assert_eq!(outbox(&stack, "reemit").await["codes"], 0);
}
