//! The language of mails (from `Accept-Language` at registration) and of problems.

use serde_json::json;

use crate::registration::enumeration::without_ids_and_dates;
use support::{
    client::{PASSWORD, send},
    fake_smtp::mail::Mail,
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const CANADIAN: &str = "fr-CA, en;q=0.5";
const ATTACKERS_PASSWORD: &str = "an attacker's password";

fn subject_and_language(mail: &Mail) -> (&str, &str) {
    (mail.subject.as_str(), mail.header("content-language"))
}

/// Registers with this `Accept-Language`, activates, and waits for the welcome mail.
async fn sign_up_and_activate(stack: &Stack, languages: &str, email: &str) {
    let answer = stack.client.register_with_languages(languages, email, PASSWORD).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let code = stack.mail_server.mail_to(email).await.code();
    stack.client.wait_for_receipt(&answer.registration(), "sent").await;
    assert_eq!(stack.client.activate(email, &code).await.status, 200);
    stack.mail_server.nth_mail_to(email, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mails_use_the_language_of_the_registration() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0"), ("CODE_TTL_SECONDS", "90")]).await;
    let registered = stack.client.register_with_languages(CANADIAN, ADA, PASSWORD).await;
    assert_eq!(registered.status, 202, "{registered:?}");
    let first = stack.mail_server.mail_to(ADA).await;
    assert_eq!(subject_and_language(&first), ("Votre code d’inscription", "fr"));
    assert!(first.text.lines().any(|line| line == first.code()) && first.html.contains(&first.code()));
    assert!(first.text.contains("1\u{a0}minute et 30\u{a0}secondes") && first.html.contains("<html lang=\"fr\">"));
    assert!(!first.text.contains("code:"), "{}", first.text);

    // A resend from a device with another language does not change it.
    let request = stack.client.request("POST", "/v1/users/resend").header("Accept-Language", "en");
    assert_eq!(send(request.basic_auth(ADA, Some(PASSWORD))).await.status, 202);
    let second = stack.mail_server.nth_mail_to(ADA, 2).await;
    assert_eq!(subject_and_language(&second), ("Votre code d’inscription", "fr"));
    stack.client.wait_for_receipt(&registered.registration(), "sent").await;
    assert_eq!(stack.client.activate(ADA, &second.code()).await.status, 200);
    let welcome = stack.mail_server.nth_mail_to(ADA, 3).await;
    assert_eq!(subject_and_language(&welcome), ("Votre compte est actif", "fr"));
    assert_eq!(stack.database.count("SELECT count(*) FROM users WHERE language = 'fr'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_accept_language_falls_back_to_english() {
    let stack = Stack::start().await;
    assert_eq!(stack.client.register("silent@example.com").await.status, 202);
    for (n, languages) in ["qaa-CH, qaa;q=0.9", "*", "fr;q=0", "fr_CA", "", ";;;,q=1,\t,"].into_iter().enumerate() {
        let answer = stack.client.register_with_languages(languages, &format!("u{n}@example.com"), PASSWORD).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let not_utf8 = reqwest::header::HeaderValue::from_bytes(b"fr\xff").unwrap();
    let request = stack.client.request("POST", "/v1/users").header("Accept-Language", not_utf8);
    assert_eq!(send(request.json(&json!({ "email": BOB, "password": PASSWORD }))).await.status, 202);
    for email in
        ["silent@example.com", BOB].map(str::to_owned).into_iter().chain((0..6).map(|n| format!("u{n}@example.com")))
    {
        assert_eq!(
            subject_and_language(&stack.mail_server.mail_to(&email).await),
            ("Your sign-up code", "en"),
            "{email}"
        );
    }
}

/// The reader is the account's owner, while the client that registered again may be an attacker.
#[tokio::test(flavor = "multi_thread")]
async fn already_registered_mail_uses_the_owners_language() {
    let stack = Stack::start().await;
    sign_up_and_activate(&stack, CANADIAN, ADA).await;
    sign_up_and_activate(&stack, "en", BOB).await;
    let mut seen = Vec::new();
    for (email, expected) in [(ADA, ("Vous avez déjà un compte", "fr")), (BOB, ("You already have an account", "en"))]
    {
        for (n, languages) in ["en", "fr"].into_iter().enumerate() {
            let answer = stack.client.register_with_languages(languages, email, ATTACKERS_PASSWORD).await;
            seen.push(without_ids_and_dates(&answer));
            assert_eq!(subject_and_language(&stack.mail_server.nth_mail_to(email, 3 + n).await), expected);
            stack.database.age(60).await;
        }
    }
    for languages in ["en", "fr"] {
        seen.push(without_ids_and_dates(
            &stack
                .client
                .register_with_languages(languages, &format!("{languages}@example.com"), ATTACKERS_PASSWORD)
                .await,
        ));
    }
    // I-15: neither the requested language nor the mail's language shows in the response.
    assert!(seen.iter().all(|response| *response == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_language_does_not_affect_idempotency() {
    let stack = Stack::start().await;
    let register = async |languages: &str| {
        let request = stack.client.request("POST", "/v1/users").header("Accept-Language", languages);
        send(request.header("Idempotency-Key", "key-1").json(&json!({ "email": ADA, "password": PASSWORD }))).await
    };
    let (first, repeated) = (register(CANADIAN).await, register("en").await);
    assert_eq!((first.status, repeated.status), (202, 202), "{repeated:?}");
    assert_eq!(first.registration(), repeated.registration());
    assert_eq!(subject_and_language(&stack.mail_server.mail_to(ADA).await).1, "fr");
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);
}

/// Happens while a version with one more language is rolled out, and after it was rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_stored_language_falls_back_to_english() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register_with_languages(CANADIAN, ADA, PASSWORD).await.registration();
    stack.database.execute("UPDATE registrations SET language = 'qaa'", &[]).await;
    stack.start_worker(&[]).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    assert_eq!(subject_and_language(&mail), ("Your sign-up code", "en"));
    api.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(api.client.activate(ADA, &mail.code()).await.status, 200);
    assert_eq!(subject_and_language(&stack.mail_server.nth_mail_to(ADA, 2).await), ("Your account is active", "en"));
}

#[tokio::test(flavor = "multi_thread")]
async fn problem_details_are_always_english() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let mut answers = Vec::new();
    for languages in ["en", "fr"] {
        let answer = api.client.register_with_languages(languages, "not-an-address", "short").await;
        assert_eq!(answer.problem(), (422, "invalid-input".into()));
        let mut body = answer.json();
        body["request_id"].take();
        answers.push(body);
    }
    assert_eq!(answers[0], answers[1]);
}
