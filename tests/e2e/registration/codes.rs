//! The life of a code, and which registration it opens.

use serde_json::json;

use support::{client::PASSWORD, stack::Stack};

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_code_dies_with_its_minute() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    stack.database.age(60).await;
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (410, "code-expired".into()));
    assert_eq!(stack.client.receipt(&registration).await["status"], "expired");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0);

    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let code = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    stack.client.receipt_when(&registration, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_dies_with_its_day() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    stack.database.age(86_400).await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");
    let named = json!({ "code": code, "registration": registration });
    assert_eq!(stack.client.activate_with(ADA, PASSWORD, &named).await.problem(), (410, "registration-closed".into()));
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (401, "unauthenticated".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_not_mailed_opens_nothing_and_costs_nothing() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    for guess in 0..5 {
        let answer = api.client.activate(ADA, &format!("{guess:04}")).await;
        assert_eq!((answer.problem(), &answer.json()["attempts_left"]), ((422, "wrong-code".into()), &json!(3)));
    }
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0);
}

/// I-12: whoever registers the same address, before or after, is in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn s_21_a_stranger_at_the_same_address_is_in_nobodys_way() {
    let stack = Stack::start().await;
    let early = stack.client.register_with(ADA, "the early stranger").await.registration();
    let (_, code) = {
        stack.mail_server.mail_to(ADA).await;
        let registration = stack.client.register(ADA).await.registration();
        let code = stack.mail_server.nth_mail_to(ADA, 2).await.code();
        stack.client.receipt_when(&registration, "sent").await;
        (registration, code)
    };
    let late = stack.client.register_with(ADA, "the late stranger").await.registration();
    let late_code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    let early_code = stack.mail_server.mail_to(ADA).await.code();
    for (stranger, password, own_code) in
        [(&early, "the early stranger", early_code), (&late, "the late stranger", late_code)]
    {
        stack.client.receipt_when(stranger, "sent").await;
        // By random_id, both have the same.
        if own_code == code {
            continue;
        }
        // Ada's code does not open what her password did not make, named or not.
        for body in [json!({ "code": code, "registration": stranger }), json!({ "code": code })] {
            let answer = stack.client.activate_with(ADA, password, &body).await;
            assert_eq!(answer.problem(), (422, "wrong-code".into()), "{body}");
        }
    }
    let answer = stack.client.activate(ADA, &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stack.client.receipt(&late).await["status"], "closed");
    let body = json!({ "code": code, "registration": late });
    let answer = stack.client.activate_with(ADA, "the late stranger", &body).await;
    assert_eq!(answer.problem(), (410, "registration-closed".into()));
}

/// A person who signed up twice with one password may give the code of either mail.
#[tokio::test(flavor = "multi_thread")]
async fn either_code_of_two_equal_registrations_opens() {
    let stack = Stack::start().await;
    let (first, code) = stack.sign_up(ADA).await;
    let second = stack.client.register(ADA).await.registration();
    stack.mail_server.nth_mail_to(ADA, 2).await;
    stack.client.receipt_when(&second, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.client.receipt(&first).await["status"], "activated");
    assert_eq!(stack.client.receipt(&second).await["status"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_can_be_longer() {
    let stack = Stack::start_with(&[("CODE_LENGTH", "8")]).await;
    let (registration, code) = stack.sign_up(ADA).await;
    assert_eq!((code.len(), &stack.client.receipt(&registration).await["code_length"]), (8, &json!(8)));
    assert_eq!(stack.client.activate(ADA, &code[..4]).await.problem(), (422, "wrong-code".into()));
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

/// A key that was put in front makes the new codes; the old one's still open.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_can_be_changed_while_codes_live() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let both = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let rotated = stack.start_api(&[("CODE_SECRETS", both)]).await;
    assert_eq!(rotated.client.activate(ADA, &code).await.status, 200);
}

/// One API after the other gets the new secret: what the first has mailed is no wrong code at the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_whose_secret_has_not_come_yet_costs_no_try() {
    let mut stack = Stack::prepare(&[]).await;
    let both = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (first, next) = (stack.start_api(&[("CODE_SECRETS", both)]).await, stack.start_api(&[]).await);
    let _worker = stack.start_worker(&[("CODE_SECRETS", both)]).await;
    stack.client = first.client.clone();
    stack.account(ADA).await;
    let bob = "bob@example.com";
    let ((receipt, to_reset), (_, code)) = (stack.forgotten(ADA, 3).await, stack.sign_up(bob).await);
    for _ in 0..4 {
        assert_eq!(next.client.activate(bob, &code).await.problem(), (503, "unavailable".into()));
        assert_eq!(next.client.reset(&receipt, &to_reset).await.problem(), (503, "unavailable".into()));
    }
    assert_eq!(first.client.activate(bob, &code).await.status, 200);
    assert_eq!(first.client.reset(&receipt, &to_reset).await.status, 204);
}

/// Else all limits would silently begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_secret_stays_for_it_names_addresses_in_every_limit() {
    let stack = Stack::start().await;
    let other = api::Config::load_from(
        stack.variables(&[("CODE_SECRETS", "new:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=")]),
    );
    let listen = || tokio::net::TcpListener::bind("127.0.0.1:0");
    let (listener, ops) = (listen().await.unwrap(), listen().await.unwrap());
    let ended = api::run(other.unwrap(), listener, ops, tokio_util::sync::CancellationToken::new()).await;
    let error = format!("{:#}", ended.unwrap_err());
    assert!(error.contains("CODE_SECRETS: its last key is not the one"), "{error}");
}

/// I-15: an account's owner is not written to while others wait for a secret, or the receipts would tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_the_secret_holds_up_everybody_alike() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 2).await;

    let both = "new:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=,test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let rotated = stack.start_api(&[("CODE_SECRETS", both)]).await;
    let mut receipts = vec![];
    for email in [ADA, "new@example.com"] {
        receipts.push(rotated.client.register_with(email, "a stranger's password").await.registration());
    }
    // Both have been looked at when both wait for their next turn.
    stack.queue_holds(&stack.topology.retry_queue(5), 2).await;
    for receipt in &receipts {
        assert_eq!(rotated.client.receipt(receipt).await["status"], "queued");
    }
    stack.start_worker(&[("CODE_SECRETS", both)]).await;
}
