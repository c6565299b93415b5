//! Mail server errors: retries, permanent rejections, and what happens to codes that expire meanwhile.

use serde_json::json;

use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn temporary_rejection_is_retried() {
    for stack in Stack::start_with_and_without_pipelining().await {
        stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Rcpt, code: 451 }, Behaviour::Cut(Stage::Data)]);
        let registration = stack.client.register(ADA).await.registration();
        stack.mail_server.nth_attempt(ADA, 2).await;
        let mail = stack.mail_server.mail_to(ADA).await;
        stack.client.wait_for_receipt(&registration, "sent").await;
        assert_eq!(stack.client.activate(ADA, &mail.code()).await.status, 200);
        assert_eq!(stack.mail_server.attempts(ADA).len(), 3 + stack.mail_server.mails_to(ADA).len() - 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permanent_rejection_makes_the_receipt_undeliverable() {
    for stack in Stack::start_with_and_without_pipelining().await {
        for (email, at, code) in [("a@example.com", Stage::Rcpt, 550), ("b@example.com", Stage::Dot, 554)] {
            stack.mail_server.script(email, [Behaviour::Reply { at, code }]);
            let registration = stack.client.register(email).await.registration();
            stack.client.wait_for_receipt(&registration, "undeliverable").await;
            assert_eq!(stack.mail_server.attempts(email).len(), 1);
        }
        // A permanent rejection does not block later mails to the email address.
        stack.database.age(60).await;
        assert_eq!(stack.client.resend("a@example.com").await.status, 202);
        let code = stack.mail_server.mail_to("a@example.com").await.code();
        let registration =
            stack.database.client().query_one("SELECT id::text FROM registrations WHERE email = 'a@example.com'", &[]);
        stack.client.wait_for_receipt(registration.await.unwrap().get(0), "sent").await;
        assert_eq!(stack.client.activate("a@example.com", &code).await.status, 200);
    }
}

/// I-06: a connection that breaks after the final dot may cause a second mail, with the same Message-ID and code.
#[tokio::test(flavor = "multi_thread")]
async fn connection_lost_after_data_repeats_the_same_mail() {
    for stack in Stack::start_with_and_without_pipelining().await {
        stack.mail_server.script(ADA, [Behaviour::AcceptThenCut, Behaviour::Cut(Stage::Dot)]);
        let registration = stack.client.register(ADA).await.registration();
        let first = stack.mail_server.mail_to(ADA).await;
        let receipt = stack.client.wait_for_receipt(&registration, "sent").await;
        for mail in stack.mail_server.mails_to(ADA) {
            assert_eq!((&mail.message_id, mail.code()), (&first.message_id, first.code()));
        }
        assert_eq!(receipt["attempts_left"], 3);
        assert_eq!(stack.client.activate(ADA, &first.code()).await.status, 200);
    }
}

/// I-11: a code that expired or was superseded while its mail waited is recorded as dropped and not mailed.
#[tokio::test(flavor = "multi_thread")]
async fn dead_code_is_recorded_and_never_mailed() {
    let stack = Stack::prepare(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let api = stack.start_api(&[]).await;
    let old = api.client.register("old@example.com").await.registration();
    assert_eq!(api.client.register(ADA).await.status, 202);
    let expire = "UPDATE codes SET deadline = clock_timestamp() FROM registrations r \
        WHERE r.id = registration_id AND email = 'old@example.com'";
    stack.database.execute(expire, &[]).await;
    assert_eq!(api.client.resend(ADA).await.status, 202);
    stack.start_worker(&[]).await;
    stack.mail_server.mail_to(ADA).await;
    api.client.wait_for_receipt(&old, "expired").await;
    assert_eq!((stack.mail_server.mails_to("old@example.com").len(), stack.mail_server.mails_to(ADA).len()), (0, 1));
    let recorded = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why IN ('expired', 'superseded')";
    stack.database.wait_for_count(recorded, 2).await;
    let answer = api.client.activate("old@example.com", "0000").await;
    assert_eq!(answer.problem(), (410, "code-expired".into()));
}

/// The 60 s begin with the mail server's 250: time in the queue does not count.
#[tokio::test(flavor = "multi_thread")]
async fn code_validity_begins_with_delivery() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    stack.database.age(300).await;
    assert_eq!(api.client.receipt(&registration).await["status"], "queued");
    stack.start_worker(&[]).await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    api.client.wait_for_receipt(&registration, "sent").await;
    let validity = "SELECT extract(epoch FROM expires_at - sent_at)::bigint FROM codes";
    assert_eq!(stack.database.count(validity).await, 60);
    assert_eq!(api.client.activate(ADA, &code).await.status, 200);
}

/// I-10: a code that is delivered less than 60 s before its deadline (`CODE_MAX_AGE_SECONDS`) is valid until the
/// deadline, and the mail says so.
#[tokio::test(flavor = "multi_thread")]
async fn code_never_outlives_its_deadline() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    stack.database.age(570).await;
    stack.start_worker(&[]).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    assert!(mail.text.contains("seconds") && !mail.text.contains("1 minute"), "{}", mail.text);
    api.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(stack.database.count("SELECT count(*) FROM codes WHERE expires_at = deadline").await, 1);
}

/// A worker with other `CODE_SECRETS` than the API would mail wrong codes: it retries instead.
#[tokio::test(flavor = "multi_thread")]
async fn worker_with_other_secrets_mails_nothing() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let other_secret = "test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let wrong = stack.start_worker(&[("CODE_SECRETS", other_secret)]).await;
    let registration = api.client.register(ADA).await.registration();
    // The worker has processed the message: it is in the retry queue.
    stack.wait_for_queue_length(&stack.topology.codes.retry_queue(5), 1).await;
    wrong.stop().await.unwrap();
    assert_eq!(stack.mail_server.count(), 0);
    stack.start_worker(&[]).await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    api.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(api.client.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_mail_has_required_content_and_headers() {
    for stack in Stack::start_with_and_without_pipelining().await {
        let (registration, code) = stack.sign_up(ADA).await;
        let mail = stack.mail_server.mail_to(ADA).await;
        assert!(mail.text.lines().any(|line| line.trim() == code) && mail.html.contains(&code));
        assert!(!mail.subject.contains(&code), "{}", mail.subject);
        assert!(mail.text.contains("1 minute"), "{}", mail.text);
        assert_eq!((mail.header("auto-submitted"), mail.from.as_str()), ("auto-generated", "no-reply@example.com"));
        let id =
            stack.database.client().query_one("SELECT id::text FROM codes", &[]).await.unwrap().get::<_, String>(0);
        assert_eq!(mail.message_id, format!("<{id}@example.com>"));
        assert_eq!(stack.client.receipt(&registration).await["attempts_left"], json!(3));
    }
}
