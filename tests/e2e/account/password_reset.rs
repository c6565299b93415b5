//! Forgotten passwords: request a code, set a new password with it, end all sessions.

use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::registration::response_times::OTHER_PASSWORD_HASH;
use support::forgot_password::NEW;
use support::{
    client::{PASSWORD, concurrently_with_retry, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const ME: &str = "/v1/users/me";

#[tokio::test(flavor = "multi_thread")]
async fn reset_code_sets_a_password_and_ends_sessions() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let tokens = [stack.client.token(ADA).await, stack.client.token(ADA).await];
    let answer = stack.client.request_reset(" Ada@Example.COM ").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let (requested, receipt) = (answer.json(), answer.receipt());
    assert_eq!(answer.header("location"), format!("/v1/users/password/forgot/{receipt}"));
    assert_eq!(
        (&requested["status"], &requested["code_length"], &requested["attempts_left"]),
        (&json!("queued"), &json!(8), &json!(3))
    );
    assert!(
        requested["requested_at"].is_string()
            && requested["resend_at"].is_string()
            && requested.get("sent_at").is_none()
    );

    let mail = stack.mail_server.nth_mail_to(ADA, 3).await;
    assert_eq!((mail.subject.as_str(), mail.code().len()), ("Your password reset code", 8));
    assert!(mail.text.contains("valid for 10 minutes") && !mail.raw.contains(&receipt), "{}", mail.text);
    let sent = stack.client.wait_for_reset_receipt(&receipt, "sent").await;
    let time = |name: &str| OffsetDateTime::parse(sent[name].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(time("expires_at") - time("sent_at"), Duration::minutes(10));

    let answer = stack.client.reset(&receipt, &format!(" {} ", mail.code())).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{answer:?}");
    assert_eq!(stack.client.login(ADA, PASSWORD).await.problem(), (401, "unauthenticated".into()));
    assert_eq!(stack.client.login(ADA, NEW).await.status, 200);
    for token in tokens {
        assert_eq!(stack.client.bearer("GET", ME, &token).await.status, 401);
    }
    let warning = stack.mail_server.nth_mail_to(ADA, 4).await;
    assert_eq!(warning.subject, "Your password was changed");
    assert_ne!(warning.message_id, mail.message_id);

    assert_eq!(stack.client.reset_receipt(&receipt).await["status"], "used");
    let reused = stack.client.reset_to(&receipt, &mail.code(), "a third horse battery").await;
    assert_eq!(reused.problem(), (410, "code-expired".into()));
    assert_eq!(stack.client.login(ADA, NEW).await.status, 200);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_code_expires_ten_minutes_after_delivery() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    stack.database.age(590).await;
    assert_eq!(stack.client.reset_receipt(&receipt).await["status"], "sent");
    stack.database.age(10).await;
    assert_eq!(stack.client.reset_receipt(&receipt).await["status"], "expired");
    assert_eq!(stack.client.reset(&receipt, &code).await.problem(), (410, "code-expired".into()));
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    let (receipt, code) = stack.request_reset_code(ADA, 4).await;
    stack.database.age(590).await;
    assert_eq!(stack.client.reset(&receipt, &code).await.status, 204);
}

/// A code that is not mailed within 20 minutes expires and is never mailed. Guesses before that cost no attempt, and
/// `/health` reports the late mail meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn unsent_reset_code_costs_no_attempt_and_expires() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let receipt = api.client.request_reset(ADA).await.receipt();
    let answer = api.client.reset(&receipt, "00000000").await;
    assert_eq!((answer.problem(), answer.json()["attempts_left"].clone()), ((422, "wrong-code".into()), json!(3)));
    stack.database.age(40).await;
    assert_eq!(api.client.get("/health").await.json()["checks"]["mail"], "failing", "the mail is late");
    stack.database.age(1_150).await;
    assert_eq!(api.client.reset_receipt(&receipt).await["status"], "queued");
    stack.database.age(10).await;
    assert_eq!(api.client.reset_receipt(&receipt).await["status"], "expired");
    assert_eq!(api.client.get("/health").await.json()["checks"]["mail"], "ok");
    stack.start_worker(&[]).await;
    stack
        .database
        .wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'expired'", 1)
        .await;
    assert!(stack.mail_server.mails_to(ADA).is_empty());
}

/// I-07 for reset codes.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_ten_concurrent_resets_succeeds() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    stack.create_account(ADA).await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    let answers = concurrently_with_retry(10, |n| {
        let client = if n % 2 == 0 { &stack.client } else { &other.client }.clone();
        let (receipt, code) = (receipt.clone(), code.clone());
        async move { client.reset_to(&receipt, &code, &format!("horse battery {n}")).await }
    });
    let answers = answers.await;
    assert_eq!(count(&answers), [(204, 1), (410, 9)].into());
    let winner = answers.iter().position(|answer| answer.status == 204).unwrap();
    assert_eq!(stack.client.login(ADA, &format!("horse battery {winner}")).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 4).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 1);
    assert_eq!(
        stack.database.count("SELECT count(*) FROM code_attempts").await,
        0,
        "right codes do not count as wrong"
    );
}

/// There is one hash thread, and verifying a hash with very expensive parameters occupies it for longer than
/// `HASH_QUEUE_MS`.
#[tokio::test(flavor = "multi_thread")]
async fn overloaded_reset_costs_no_attempt() {
    let mut stack = Stack::prepare(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    stack.start_worker(&[]).await;
    stack.create_account(ADA).await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    let expensive_hash = OTHER_PASSWORD_HASH.replace("m=19456,t=2", "m=65536,t=64");
    let insert = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
        VALUES (gen_random_uuid(), 'slow@example.com', $1, now(), now())";
    stack.database.execute(insert, &[&expensive_hash]).await;
    let busy_client = stack.start_api(&[("HASH_THREADS", "1"), ("HASH_QUEUE_MS", "100")]).await.client;

    let login_client = busy_client.clone();
    let login = tokio::spawn(async move { login_client.login("slow@example.com", PASSWORD).await });
    let reserved = "SELECT count(*) FROM lockouts WHERE cardinality(pending) = 1";
    stack.database.wait_for_count(reserved, 2).await;
    assert_eq!(busy_client.reset(&receipt, &code).await.problem(), (503, "overloaded".into()));
    assert_eq!(login.await.unwrap().status, 401);
    assert_eq!(stack.client.reset_receipt(&receipt).await["attempts_left"], 3);
    let guesses = "SELECT sum(wrong)::bigint FROM guesses";
    assert_eq!(stack.database.count(guesses).await, 1, "the wrong password, and no code");
    assert_eq!(stack.client.reset(&receipt, &code).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_validation_errors_cost_no_attempt() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    let field_errors = |answer: support::client::Answer| {
        assert_eq!(answer.problem(), (422, "invalid-input".into()));
        let describe = |error: &serde_json::Value| format!("{} {}", error["field"], error["code"]).replace('"', "");
        answer.json()["errors"].as_array().unwrap().iter().map(describe).collect::<Vec<_>>()
    };
    let empty = stack.client.post("/v1/users/password/reset", &json!({})).await;
    assert_eq!(field_errors(empty), ["receipt required", "code required", "password required"]);
    assert_eq!(
        field_errors(stack.client.reset_to("7", "00 42", "short").await),
        ["receipt invalid", "code invalid", "password too-short"]
    );
    assert_eq!(field_errors(stack.client.reset_to(&receipt, &code, "password").await), ["password too-common"]);
    assert_eq!(field_errors(stack.client.reset_to(&receipt, &code, "ada@example.com1").await), ["password is-address"]);
    assert_eq!(field_errors(stack.client.request_reset("not an address").await), ["email invalid"]);
    assert_eq!(field_errors(stack.client.request_reset("").await), ["email required"]);
    let unknown = "b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52";
    assert_eq!(stack.client.reset(unknown, &code).await.problem(), (404, "not-found".into()));
    let read = stack.client.get(&format!("/v1/users/password/forgot/{unknown}")).await;
    assert_eq!(read.problem(), (404, "not-found".into()));
    assert_eq!(stack.client.reset_receipt(&receipt).await["attempts_left"], 3);
    assert_eq!(stack.client.reset(&receipt, &code).await.status, 204);
}

/// A reset code that is in the queue when the account is deleted is not mailed.
#[tokio::test(flavor = "multi_thread")]
async fn account_deletion_deletes_pending_resets() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.create_account(ADA).await;
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 2).await;
    worker.stop().await.unwrap();
    let receipt = stack.client.request_reset(ADA).await.receipt();
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
    assert_eq!(stack.database.count("SELECT count(*) FROM resets").await, 0);
    assert_eq!(stack.client.reset(&receipt, "00000000").await.problem(), (404, "not-found".into()));
    stack.start_worker(&[]).await;
    stack
        .database
        .wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'gone'", 1)
        .await;
    assert_eq!(stack.mail_server.nth_mail_to(ADA, 3).await.subject, "Your account was deleted");
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 3);
}
