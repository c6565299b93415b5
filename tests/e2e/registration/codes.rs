//! Validity of activation codes, which registration a code activates, and rotation of `CODE_SECRETS`.

use serde_json::json;

use support::{client::PASSWORD, stack::Stack};

const ADA: &str = "ada@example.com";

/// I-10: valid for less than 60 s after delivery. An expired code costs no attempt, and a new one can be requested.
#[tokio::test(flavor = "multi_thread")]
async fn code_expires_after_sixty_seconds() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    stack.database.age(60).await;
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (410, "code-expired".into()));
    assert_eq!(stack.client.receipt(&registration).await["status"], "expired");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0);

    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let code = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    stack.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_closes_after_one_day() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    stack.database.age(86_400).await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");
    let named = json!({ "code": code, "registration": registration });
    assert_eq!(stack.client.activate_with(ADA, PASSWORD, &named).await.problem(), (410, "registration-closed".into()));
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (401, "unauthenticated".into()));
}

/// S-04: no guess can be right before the code is mailed, so none is compared or counted.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_an_unsent_code_are_not_counted() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    for guess in 0..5 {
        let answer = api.client.activate(ADA, &format!("{guess:04}")).await;
        assert_eq!((answer.problem(), &answer.json()["attempts_left"]), ((422, "wrong-code".into()), &json!(3)));
    }
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0);
}

/// S-21 (pre-hijacking), I-12: registrations of the same email address by attackers, before and after the owner's, do
/// not keep the owner from activating, and the owner's code does not activate them.
#[tokio::test(flavor = "multi_thread")]
async fn s_21_foreign_registrations_do_not_affect_the_owner() {
    let stack = Stack::start().await;
    let early = stack.client.register_with(ADA, "the early attacker").await.registration();
    stack.mail_server.mail_to(ADA).await;
    let owners = stack.client.register(ADA).await.registration();
    let code = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    stack.client.wait_for_receipt(&owners, "sent").await;
    let late = stack.client.register_with(ADA, "the late attacker").await.registration();
    let late_code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    let early_code = stack.mail_server.mail_to(ADA).await.code();
    for (registration, password, attackers_code) in
        [(&early, "the early attacker", early_code), (&late, "the late attacker", late_code)]
    {
        stack.client.wait_for_receipt(registration, "sent").await;
        // Two random codes can be equal.
        if attackers_code == code {
            continue;
        }
        // Ada's code does not activate a registration with another password, whether the request names it or not.
        for body in [json!({ "code": code, "registration": registration }), json!({ "code": code })] {
            let answer = stack.client.activate_with(ADA, password, &body).await;
            assert_eq!(answer.problem(), (422, "wrong-code".into()), "{body}");
        }
    }
    let answer = stack.client.activate(ADA, &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stack.client.receipt(&late).await["status"], "closed");
    let body = json!({ "code": code, "registration": late });
    let answer = stack.client.activate_with(ADA, "the late attacker", &body).await;
    assert_eq!(answer.problem(), (410, "registration-closed".into()));
}

/// A user who registered twice with one password may enter the code of either mail; the other registration is closed.
#[tokio::test(flavor = "multi_thread")]
async fn either_code_of_two_equal_registrations_activates() {
    let stack = Stack::start().await;
    let (first, code) = stack.sign_up(ADA).await;
    let second = stack.client.register(ADA).await.registration();
    stack.mail_server.nth_mail_to(ADA, 2).await;
    stack.client.wait_for_receipt(&second, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.client.receipt(&first).await["status"], "activated");
    assert_eq!(stack.client.receipt(&second).await["status"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_length_setting_applies() {
    let stack = Stack::start_with(&[("CODE_LENGTH", "8")]).await;
    let (registration, code) = stack.sign_up(ADA).await;
    assert_eq!((code.len(), &stack.client.receipt(&registration).await["code_length"]), (8, &json!(8)));
    assert_eq!(stack.client.activate(ADA, &code[..4]).await.problem(), (422, "wrong-code".into()));
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

/// Rotation: the first key of the ring issues new codes; codes of the older keys stay valid.
#[tokio::test(flavor = "multi_thread")]
async fn code_of_a_rotated_secret_stays_valid() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let both = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let rotated = stack.start_api(&[("CODE_SECRETS", both)]).await;
    assert_eq!(rotated.client.activate(ADA, &code).await.status, 200);
}

/// The first secret can be retired like any other: the limits of addresses and networks do not depend on it.
#[tokio::test(flavor = "multi_thread")]
async fn retired_first_secret_keeps_all_limits() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0"), ("CODES_PER_HOUR", "2")]).await;
    for _ in 0..2 {
        assert_eq!(stack.client.register(ADA).await.status, 202);
    }
    let retired = [("CODE_SECRETS", "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")];
    let next = stack.start_api(&retired).await;
    let _worker = stack.start_worker(&retired).await;
    assert_eq!(next.client.register(ADA).await.problem(), (429, "too-many-requests".into()));
}

/// Rolling deployment of a new secret: an API that does not have it yet answers 503 for its codes instead of counting a
/// wrong one.
#[tokio::test(flavor = "multi_thread")]
async fn code_of_an_unknown_secret_costs_no_attempt() {
    let mut stack = Stack::prepare(&[]).await;
    let both = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let first = stack.start_api(&[("CODE_SECRETS", both)]).await;
    let next = stack.start_api(&[]).await;
    let _worker = stack.start_worker(&[("CODE_SECRETS", both)]).await;
    stack.client = first.client.clone();
    stack.create_account(ADA).await;
    let bob = "bob@example.com";
    let (receipt, reset_code) = stack.request_reset_code(ADA, 3).await;
    let (_, code) = stack.sign_up(bob).await;
    for _ in 0..4 {
        assert_eq!(next.client.activate(bob, &code).await.problem(), (503, "unavailable".into()));
        assert_eq!(next.client.reset(&receipt, &reset_code).await.problem(), (503, "unavailable".into()));
    }
    assert_eq!(first.client.activate(bob, &code).await.status, 200);
    assert_eq!(first.client.reset(&receipt, &reset_code).await.status, 204);
}

/// All limits are stored under `SUBJECT_KEY`: with another one they would silently be reset.
#[tokio::test(flavor = "multi_thread")]
async fn api_rejects_a_changed_subject_key_at_start() {
    let stack = Stack::start().await;
    let changed =
        api::Config::load_from(stack.variables(&[("SUBJECT_KEY", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=")]));
    let listen = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let (listener, ops) = (listen().await.unwrap(), listen().await.unwrap());
    let result = api::run(changed.unwrap(), listener, ops, tokio_util::sync::CancellationToken::new()).await;
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.contains("SUBJECT_KEY is not the one that this database was first used with"), "{error}");
}

/// I-15: a worker that lacks the secret also holds back the mail to an account's owner, which needs no code. Otherwise
/// the receipts would reveal that the account exists.
#[tokio::test(flavor = "multi_thread")]
async fn worker_without_the_secret_delays_all_addresses() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 2).await;

    let both = "new:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=,test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let rotated = stack.start_api(&[("CODE_SECRETS", both)]).await;
    let mut receipts = vec![];
    for email in [ADA, "new@example.com"] {
        receipts.push(rotated.client.register_with(email, "an attacker's password").await.registration());
    }
    // Once both messages are in the retry queue, the worker has processed both.
    stack.wait_for_queue_length(&stack.topology.codes.retry_queue(5), 2).await;
    for receipt in &receipts {
        assert_eq!(rotated.client.receipt(receipt).await["status"], "queued");
    }
    stack.start_worker(&[("CODE_SECRETS", both)]).await;
}
