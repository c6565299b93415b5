//! The main flow of one user: register, read the code, activate; and `/health`.

use serde_json::json;

use support::{client::PASSWORD, stack::Stack};

#[tokio::test(flavor = "multi_thread")]
async fn user_registers_and_activates_with_the_mailed_code() {
    let stack = Stack::start().await;
    let answer = stack.client.register("  Ada@Example.COM ").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let (receipt, registration) = (answer.json(), answer.registration());
    assert_eq!(answer.header("location"), format!("/v1/registrations/{registration}"));
    assert_eq!(
        (&receipt["status"], &receipt["code_length"], &receipt["attempts_left"]),
        (&json!("queued"), &json!(4), &json!(3))
    );
    assert!(receipt.get("sent_at").is_none() && receipt["resend_at"].is_string());

    let mail = stack.mail_server.mail_to("ada@example.com").await;
    assert_eq!(mail.code().len(), 4);
    let receipt = stack.client.wait_for_receipt(&registration, "sent").await;
    assert!(receipt["sent_at"].is_string() && receipt["expires_at"].is_string());

    let answer = stack.client.activate("ada@example.com", &format!(" {} ", mail.code())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let user = answer.json();
    assert_eq!(user["email"], "ada@example.com");
    assert!(user["id"].is_string() && user["activated_at"].is_string());
    assert_eq!(user.as_object().unwrap().len(), 3);
    assert_eq!(stack.client.receipt(&registration).await["status"], "activated");

    let welcome = stack.mail_server.nth_mail_to("ada@example.com", 2).await;
    assert_ne!(welcome.message_id, mail.message_id);
    assert_eq!(stack.client.activate("ada@example.com", &mail.code()).await.problem(), (409, "already-active".into()));
    assert_eq!(stack.client.resend("ada@example.com").await.problem(), (409, "already-active".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn resend_invalidates_the_previous_code() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (registration, first) = stack.sign_up("ada@example.com").await;
    let answer = stack.client.resend("ada@example.com").await;
    assert_eq!((answer.status, answer.registration()), (202, registration.clone()), "{answer:?}");
    let second = stack.mail_server.nth_mail_to("ada@example.com", 2).await.code();
    stack.client.wait_for_receipt(&registration, "sent").await;
    if first != second {
        assert_eq!(stack.client.activate("ada@example.com", &first).await.problem(), (422, "wrong-code".into()));
    }
    assert_eq!(stack.client.activate("ada@example.com", &second).await.status, 200);
}

/// I-15: the attacker gets a receipt as for a new email address, and the owner a mail that says the account exists.
#[tokio::test(flavor = "multi_thread")]
async fn registering_an_active_address_mails_no_code() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up("ada@example.com").await;
    assert_eq!(stack.client.activate("ada@example.com", &code).await.status, 200);
    stack.mail_server.nth_mail_to("ada@example.com", 2).await;

    let answer = stack.client.register_with("ada@example.com", "an attacker's password").await;
    let mail = stack.mail_server.nth_mail_to("ada@example.com", 3).await;
    assert!(mail.text.contains("already"), "{}", mail.text);
    assert!(!mail.text.lines().any(|line| line.trim().len() >= 4 && line.trim().bytes().all(|b| b.is_ascii_digit())));
    stack.client.wait_for_receipt(&answer.registration(), "sent").await;
    for guess in ["0000", "1111", "2222"] {
        let body = json!({ "code": guess });
        let answer = stack.client.activate_with("ada@example.com", "an attacker's password", &body).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
    }
    assert_eq!(stack.client.activate("ada@example.com", &code).await.problem().0, 409);
}

/// `mail` fails once a code has waited for more than 30 s.
#[tokio::test(flavor = "multi_thread")]
async fn health_reports_failing_when_mail_is_late() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    for ops in [&api.ops, &worker.ops] {
        for path in ["/health/ready", "/health/live"] {
            assert_eq!(ops.request("GET", path).send().await.unwrap().status(), 200);
        }
    }
    let health = api.client.get("/health").await;
    let all_ok = json!({"status": "ok", "checks": {"postgres": "ok", "broker": "ok", "mail": "ok"}});
    assert_eq!((health.status, health.json()), (200, all_ok));

    worker.stop().await.unwrap();
    let (email, password) = ("ada@example.com", PASSWORD);
    assert_eq!(api.client.register_with(email, password).await.status, 202);
    stack.database.age(31).await;
    let health = api.client.get("/health").await;
    assert_eq!((health.status, &health.json()["checks"]["mail"]), (503, &json!("failing")));
    api.stop().await.unwrap();
}
