//! I-15, for forgotten passwords: nobody learns from them who has an account.

use serde_json::json;

use crate::{limits::code_guesses::other_than, registration::enumeration::shape};
use support::{
    client::send,
    fake_smtp::behaviour::{Behaviour, Stage},
    forgot_password::NEW,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// I-15: who has no account gets the same answers, the same receipt at the same times, and a mail that says so.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_new_pending_and_active_addresses_forget_alike() {
    let stack = Stack::start().await;
    stack.account("active@example.com").await;
    stack.sign_up("pending@example.com").await;
    let mut seen: Vec<Vec<_>> = Vec::new();
    for (email, mails) in [("new@example.com", 0), ("pending@example.com", 1), ("active@example.com", 2)] {
        let asked = stack.client.forgot(email).await;
        let (receipt, mut story) = (asked.receipt(), vec![shape(&asked)]);
        let read = stack.client.reset_receipt_when(&receipt, "sent").await;
        let members = read.as_object().unwrap().keys().cloned().collect();
        story.push((200, members, format!("{} {}", read["code_length"], read["attempts_left"])));
        let mail = stack.mail_server.nth_mail_to(email, mails + 1).await;
        let has_code = mail.text.lines().any(|line| line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(has_code, mails == 2, "{}", mail.text);
        assert_eq!(mail.subject == "No account for this email address", mails < 2, "{}", mail.subject);
        let wrong = if has_code { other_than(&mail.code()) } else { "00000000".to_owned() };
        for _ in 0..4 {
            story.push(shape(&stack.client.reset(&receipt, &wrong).await));
        }
        story.push(shape(&stack.client.reset_to(&receipt, &wrong, "short").await));
        story.push(shape(&stack.client.get(&format!("/v1/users/password/forgot/{receipt}")).await));
        seen.push(story);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(
        seen[0].iter().map(|(status, ..)| *status).collect::<Vec<_>>(),
        [202, 200, 422, 422, 422, 410, 422, 200]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_they_forget_alike_while_mail_cannot_be_delivered() {
    let stack = Stack::start().await;
    stack.account("active@example.com").await;
    let mut seen = Vec::new();
    for email in ["new@example.com", "active@example.com"] {
        stack.mail_server.script(email, [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let receipt = stack.client.forgot(email).await.receipt();
        stack.client.reset_receipt_when(&receipt, "undeliverable").await;
        let answer = stack.client.reset(&receipt, "00000000").await;
        assert_eq!(answer.problem(), (410, "code-expired".into()));
        seen.push([shape(&answer), shape(&stack.client.get(&format!("/v1/users/password/forgot/{receipt}")).await)]);
    }
    assert_eq!(seen[0], seen[1]);
}

/// The language of an account is its owner's; of who has none, that of whoever asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_about_a_password_is_in_the_language_of_its_reader() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
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

/// All hashes of an address stay of one recipe: what a stranger registered there must go on working.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_tells_nothing_to_whoever_registered_the_address_as_well() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[("ARGON2_MEMORY_KIB", "1024")]).await.client.clone();
    stack.start_worker(&[]).await;
    stack.account(ADA).await;
    let stranger = stack.client.register_with(ADA, "a stranger's password").await;
    stack.client.receipt_when(&stranger.registration(), "sent").await;
    let dear = stack.start_api(&[("ARGON2_MEMORY_KIB", "2048")]).await;
    let (receipt, code) = stack.forgotten(ADA, 4).await;
    assert_eq!(dear.client.reset(&receipt, &code).await.status, 204);
    let body = json!({ "code": "0000" });
    for client in [&stack.client, &dear.client] {
        let answer = client.activate_with(ADA, "a stranger's password", &body).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        assert_eq!(client.login(ADA, NEW).await.status, 200);
    }
}
