//! `api outbox` shows how many messages wait; `api outbox reemit` writes lost messages into the outbox again.

use std::process::Command;

use lapin::options::QueueDeleteOptions;
use serde_json::{Value, json};

use crate::registration::not_me::{not_me_path, submit_not_me};
use support::{
    client::{PASSWORD, send},
    database::Database,
    forgot_password::NEW,
    stack::{SUBJECT_KEY, Stack},
};

const ADA: &str = "ada@example.com";

/// Runs `api outbox … --json` in this process, and returns its output.
async fn outbox(stack: &Stack, subcommand: &str) -> Value {
    let arguments = format!("outbox {subcommand} --json");
    let Some(api::Command::Tool(tool)) = api::Command::parse(arguments.split_whitespace().map(str::to_owned)) else {
        panic!("no such command: {arguments}")
    };
    let config = api::Config::load_from(stack.variables(&[])).unwrap();
    serde_json::from_str(&api::answer(config, tool).await.unwrap()).unwrap()
}

/// As a process, without a broker.
#[tokio::test(flavor = "multi_thread")]
async fn outbox_commands_print_text_and_json() {
    let database = Database::create().await;
    let run = |arguments: &str| {
        let mut command = Command::new(support::process::program("api"));
        command.env_clear().env("DATABASE_URL", &database.service_url).env("AMQP_URL", "amqp://u:p@127.0.0.1:1");
        command.env("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        command.env("SUBJECT_KEY", SUBJECT_KEY);
        let output = command.args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run("outbox"), "Nothing waits in the outbox.\n");
    let row = "INSERT INTO outbox (id, message, created_at) VALUES ($1, '{}', clock_timestamp() - interval '90 s')";
    database.execute(row, &[&uuid::Uuid::from_u128(1)]).await;
    assert!(
        run("outbox").starts_with("1 message(s) waiting, 0 of them leased by a relay; the oldest for 9"),
        "{}",
        run("outbox")
    );
    let json: Value = serde_json::from_str(&run("outbox --json")).unwrap();
    assert_eq!((&json["waiting"], &json["leased"]), (&1.into(), &0.into()));
    assert_eq!(run("outbox reemit"), "0 code(s), 0 welcome(s) and 0 warning(s) were written into the outbox again.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn outbox_is_counted_without_a_broker() {
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
    // Messages that are still in the outbox are not written again.
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 0, "warnings": 0 }));
    assert_eq!(stack.database.count("SELECT count(*) FROM outbox").await, 6);
}

/// Waits until so many messages are in the queues, and none in the outbox.
async fn wait_for_queue_lengths(stack: &Stack, codes: u32, notices: u32) {
    stack.wait_for_queue_length(&stack.topology.codes.name, codes).await;
    stack.wait_for_queue_length(&stack.topology.notices.name, notices).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
}

async fn delete_queues(stack: &Stack) {
    let channel = stack.open_channel().await;
    for queue in [&stack.topology.codes, &stack.topology.notices] {
        channel.queue_delete(queue.name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_deleted_queue_are_mailed_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    api.client.register("owner@example.com").await;
    let code = stack.mail_server.mail_to("owner@example.com").await.code();
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 1).await;
    worker.stop().await.unwrap();
    // In the queue: a welcome mail, the mail to an email address that has an account, three codes, and one code that
    // has expired.
    assert_eq!(api.client.activate("owner@example.com", &code).await.status, 200);
    api.client.register("owner@example.com").await;
    let late = api.client.register("late@example.com").await.registration();
    let mut registrations = Vec::new();
    for n in 0..3 {
        registrations.push(api.client.register(&format!("u{n}@example.com")).await.registration());
    }
    wait_for_queue_lengths(&stack, 5, 1).await;
    let expire = "UPDATE codes SET deadline = clock_timestamp() WHERE registration_id = $1::text::uuid";
    stack.database.execute(expire, &[&late]).await;
    delete_queues(&stack).await;

    stack.start_worker(&[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 4, "welcomes": 1, "warnings": 0 }));
    for (n, registration) in registrations.iter().enumerate() {
        let email = format!("u{n}@example.com");
        let code = stack.mail_server.mail_to(&email).await.code();
        api.client.wait_for_receipt(registration, "sent").await;
        assert_eq!(api.client.activate_with(&email, PASSWORD, &json!({ "code": code })).await.status, 200);
    }
    // Each of the three has a welcome mail as well.
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 1 + 5 + 3).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 0, "warnings": 0 }));
    let counts = ["u0", "u1", "u2", "owner", "late"]
        .map(|name| stack.mail_server.mails_to(&format!("{name}@example.com")).len());
    assert_eq!(counts, [2, 2, 2, 3, 0]);
}

/// `reemit` cannot know what is still queued: then each message is there twice, and the second copy sends no mail.
#[tokio::test(flavor = "multi_thread")]
async fn reemitted_message_still_queued_is_mailed_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(outbox(&stack, "reemit").await["codes"], 1);
    stack.wait_for_queue_length(&stack.topology.codes.name, 2).await;
    let worker = stack.start_worker(&[]).await;
    stack.mail_server.mail_to(ADA).await;
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 1).await;
    api.client.register("last@example.com").await;
    stack.mail_server.mail_to("last@example.com").await;
    worker.stop().await.unwrap();
    stack.wait_for_queue_length(&stack.topology.codes.name, 0).await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn welcome_mail_is_reemitted_for_a_day() {
    let stack = Stack::without_broker().await;
    let users = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
        SELECT md5(hours::text)::uuid, hours || '@example.com', '', now() - hours * interval '1 h', now() \
        FROM unnest(ARRAY[1, 23, 25, 1000]) AS hours";
    stack.database.execute(users, &[]).await;
    let delivered = "INSERT INTO deliveries (message_id, outcome) VALUES (md5('1')::uuid, 'delivered')";
    stack.database.execute(delivered, &[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 1, "warnings": 0 }));
    let reemitted = "SELECT count(*) FROM outbox WHERE id = md5('23')::uuid AND message->>'kind' = 'activated'";
    assert_eq!(stack.database.count(reemitted).await, 1);
}

/// The reset mails to a known and to an unknown email address, the warning about a changed password, and the link that
/// unlocks an account; not the mail of a reset that was closed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn lost_password_mails_are_reemitted_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    let code = stack.mail_server.mail_to(ADA).await.code();
    api.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(api.client.activate(ADA, &code).await.status, 200);
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 2).await;
    worker.stop().await.unwrap();
    // The change of the password closes this reset.
    let closed = api.client.request_reset(ADA).await.receipt();
    let token = api.client.token(ADA).await;
    let body = json!({ "password": PASSWORD, "new_password": NEW });
    let change = api.client.request("POST", "/v1/users/me/password").bearer_auth(&token).json(&body);
    assert_eq!(send(change).await.status, 204);
    let known = api.client.request_reset(ADA).await.receipt();
    let unknown = api.client.request_reset("bob@example.com").await.receipt();
    let stranger = api.client.from_address("198.51.100.1");
    for _ in 0..6 {
        stranger.login(ADA, "not her password").await;
    }
    wait_for_queue_lengths(&stack, 3, 2).await;
    delete_queues(&stack).await;

    stack.start_worker(&[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 2, "welcomes": 0, "warnings": 2 }));
    for receipt in [&known, &unknown] {
        api.client.wait_for_reset_receipt(receipt, "sent").await;
    }
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 2 + 4).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 0, "welcomes": 0, "warnings": 0 }));
    assert_eq!(api.client.reset_receipt(&closed).await["status"], "queued");
    let mut subjects: Vec<_> = stack.mail_server.mails().into_iter().skip(2).map(|mail| mail.subject).collect();
    subjects.sort();
    assert_eq!(
        subjects,
        [
            "No account for this email address",
            "Too many wrong passwords",
            "Your password reset code",
            "Your password was changed"
        ]
    );
}

/// More codes than one batch has, many with the same deadline, and some of a code secret that this process does not
/// have: which mail a code needs is for the worker to find out.
#[tokio::test(flavor = "multi_thread")]
async fn many_codes_are_reemitted_and_none_twice() {
    const CODES: i64 = 1_300;
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    let ring = shared::codes::CodeSecrets::parse(&stack.variables(&[])["CODE_SECRETS"]).unwrap();
    let ids: Vec<_> = (1..=CODES).map(|n| uuid::Uuid::from_u128(n.unsigned_abs().into())).collect();
    let decoy = |id: &uuid::Uuid| ring.newest().verifier(*id, shared::codes::DECOY).to_vec();
    let hashes: Vec<_> = ids.iter().map(decoy).collect();
    let registrations = "INSERT INTO registrations (id, email, password_hash) \
        SELECT id, id::text || '@example.com', '' FROM unnest($1::uuid[]) AS id";
    stack.database.execute(registrations, &[&ids]).await;
    let codes = "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, ttl_seconds, \
        deadline, resend_at, created_at) SELECT id, id, hash, CASE WHEN n <= 7 THEN 'other' ELSE 'test' END, 4, 3, 60, \
        now() + interval '300 s' + (n / 400) * interval '1 s', now(), now() \
        FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS t (id, hash, n)";
    stack.database.execute(codes, &[&ids, &hashes]).await;

    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": CODES, "welcomes": 0, "warnings": 0 }));
    let reemitted = "SELECT count(*) FROM outbox WHERE message->>'kind' = 'send-code' AND message->>'id' = id::text";
    assert_eq!(stack.database.count(reemitted).await, CODES + 1);
    assert_eq!(stack.database.count("SELECT count(*) FROM outbox").await, CODES + 2);
    assert_eq!(outbox(&stack, "reemit").await["codes"], 0);
}

/// A code whose mail is suppressed needs a delivery record, too: otherwise its receipt would show the suppression.
#[tokio::test(flavor = "multi_thread")]
async fn suppressed_code_is_reemitted_like_any_other() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
    let link = not_me_path(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(submit_not_me(&stack.client, &link, "").await.status, 200);
    worker.stop().await.unwrap();
    let registration = stack.client.register(ADA).await.registration();
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let queue = stack.topology.codes.name.as_str();
    stack.open_channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    stack.start_worker(&[]).await;
    assert_eq!(outbox(&stack, "reemit").await, json!({ "codes": 1, "welcomes": 0, "warnings": 0 }));
    stack.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
}
