//! Account enumeration through forgotten passwords (I-15, S-06).

use serde_json::json;

use crate::{limits::code_guesses::different_code, registration::enumeration::without_ids_and_dates};
use support::{
    client::send,
    fake_smtp::behaviour::{Behaviour, Stage},
    forgot_password::NEW,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// I-15: an email address without an account gets the same responses, the same receipt at the same times, and a mail
/// that says there is no account.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_forgot_password_responds_alike_for_all_addresses() {
    let stack = Stack::start().await;
    stack.create_account("active@example.com").await;
    stack.sign_up("pending@example.com").await;
    let mut responses_by_address: Vec<Vec<_>> = Vec::new();
    for (email, mails) in [("new@example.com", 0), ("pending@example.com", 1), ("active@example.com", 2)] {
        let requested = stack.client.request_reset(email).await;
        let receipt = requested.receipt();
        let mut responses = vec![without_ids_and_dates(&requested)];
        let read = stack.client.wait_for_reset_receipt(&receipt, "sent").await;
        let members = read.as_object().unwrap().keys().cloned().collect();
        responses.push((200, members, format!("{} {}", read["code_length"], read["attempts_left"])));
        let mail = stack.mail_server.nth_mail_to(email, mails + 1).await;
        let has_code = mail.text.lines().any(|line| line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(has_code, mails == 2, "{}", mail.text);
        assert_eq!(mail.subject == "No account for this email address", mails < 2, "{}", mail.subject);
        let wrong = if has_code { different_code(&mail.code()) } else { "00000000".to_owned() };
        for _ in 0..4 {
            responses.push(without_ids_and_dates(&stack.client.reset(&receipt, &wrong).await));
        }
        responses.push(without_ids_and_dates(&stack.client.reset_to(&receipt, &wrong, "short").await));
        responses.push(without_ids_and_dates(&stack.client.get(&format!("/v1/users/password/forgot/{receipt}")).await));
        responses_by_address.push(responses);
    }
    assert_eq!(responses_by_address[0], responses_by_address[1]);
    assert_eq!(responses_by_address[0], responses_by_address[2]);
    assert_eq!(
        responses_by_address[0].iter().map(|(status, ..)| *status).collect::<Vec<_>>(),
        [202, 200, 422, 422, 422, 410, 422, 200]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_forgot_password_responds_alike_while_mail_is_undeliverable() {
    let stack = Stack::start().await;
    stack.create_account("active@example.com").await;
    let mut responses = Vec::new();
    for email in ["new@example.com", "active@example.com"] {
        stack.mail_server.script(email, [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let receipt = stack.client.request_reset(email).await.receipt();
        stack.client.wait_for_reset_receipt(&receipt, "undeliverable").await;
        let answer = stack.client.reset(&receipt, "00000000").await;
        assert_eq!(answer.problem(), (410, "code-expired".into()));
        responses.push([
            without_ids_and_dates(&answer),
            without_ids_and_dates(&stack.client.get(&format!("/v1/users/password/forgot/{receipt}")).await),
        ]);
    }
    assert_eq!(responses[0], responses[1]);
}

/// The owner's stored language if there is an account, otherwise the requester's `Accept-Language`.
#[tokio::test(flavor = "multi_thread")]
async fn reset_mail_uses_the_owners_or_requesters_language() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    for (email, nth, language, subject) in
        [(ADA, 3, "en", "Your password reset code"), ("unknown@example.com", 1, "fr", "Aucun compte à cette adresse")]
    {
        let request =
            stack.client.request("POST", "/v1/users/password/forgot").header("Accept-Language", "fr-CA, en;q=0.5");
        assert_eq!(send(request.json(&json!({ "email": email }))).await.status, 202);
        let mail = stack.mail_server.nth_mail_to(email, nth).await;
        assert_eq!((mail.header("content-language"), mail.subject.as_str()), (language, subject));
    }
}

/// I-15: all hashes of an email address keep the same Argon2 parameters, so that an attacker who registered the email
/// address does not see his own password rejected after the owner's reset.
#[tokio::test(flavor = "multi_thread")]
async fn reset_is_invisible_to_another_registrant() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[("ARGON2_MEMORY_KIB", "1024")]).await.client.clone();
    stack.start_worker(&[]).await;
    stack.create_account(ADA).await;
    let attackers = stack.client.register_with(ADA, "an attacker's password").await;
    stack.client.wait_for_receipt(&attackers.registration(), "sent").await;
    let expensive = stack.start_api(&[("ARGON2_MEMORY_KIB", "2048")]).await;
    let (receipt, code) = stack.request_reset_code(ADA, 4).await;
    assert_eq!(expensive.client.reset(&receipt, &code).await.status, 204);
    let body = json!({ "code": "0000" });
    for client in [&stack.client, &expensive.client] {
        let answer = client.activate_with(ADA, "an attacker's password", &body).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        assert_eq!(client.login(ADA, NEW).await.status, 200);
    }
}
