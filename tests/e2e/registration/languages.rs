//! In which language people are written to.

use serde_json::json;

use crate::registration::enumeration::shape;
use support::{
    client::{PASSWORD, send},
    fake_smtp::mail::Mail,
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const CANADIAN: &str = "fr-CA, en;q=0.5";
const STRANGER: &str = "a stranger's password";

fn subject_and_language(mail: &Mail) -> (&str, &str) {
    (mail.subject.as_str(), mail.header("content-language"))
}

/// Comes in, reading these languages.
async fn sign_up_and_activate(stack: &Stack, languages: &str, email: &str) {
    let answer = stack.client.register_reading(languages, email, PASSWORD).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let code = stack.mail_server.mail_to(email).await.code();
    stack.client.receipt_when(&answer.registration(), "sent").await;
    assert_eq!(stack.client.activate(email, &code).await.status, 200);
    stack.mail_server.nth_mail_to(email, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mails_of_a_registration_are_in_the_language_it_was_made_in() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0"), ("CODE_TTL_SECONDS", "90")]).await;
    let registered = stack.client.register_reading(CANADIAN, ADA, PASSWORD).await;
    assert_eq!(registered.status, 202, "{registered:?}");
    let first = stack.mail_server.mail_to(ADA).await;
    assert_eq!(subject_and_language(&first), ("Votre code d’inscription", "fr"));
    assert!(first.text.lines().any(|line| line == first.code()) && first.html.contains(&first.code()));
    assert!(first.text.contains("1\u{a0}minute et 30\u{a0}secondes") && first.html.contains("<html lang=\"fr\">"));
    assert!(!first.text.contains("code:"), "{}", first.text);

    // Whoever asks for another code from another machine has not changed the language.
    let request = stack.client.request("POST", "/v1/users/resend").header("Accept-Language", "en");
    assert_eq!(send(request.basic_auth(ADA, Some(PASSWORD))).await.status, 202);
    let second = stack.mail_server.nth_mail_to(ADA, 2).await;
    assert_eq!(subject_and_language(&second), ("Votre code d’inscription", "fr"));
    stack.client.receipt_when(&registered.registration(), "sent").await;
    assert_eq!(stack.client.activate(ADA, &second.code()).await.status, 200);
    let welcome = stack.mail_server.nth_mail_to(ADA, 3).await;
    assert_eq!(subject_and_language(&welcome), ("Votre compte est actif", "fr"));
    assert_eq!(stack.database.count("SELECT count(*) FROM users WHERE language = 'fr'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_that_is_spoken_here_reads_english() {
    let stack = Stack::start().await;
    assert_eq!(stack.client.register("silent@example.com").await.status, 202);
    for (n, languages) in ["qaa-CH, qaa;q=0.9", "*", "fr;q=0", "fr_CA", "", ";;;,q=1,\t,"].into_iter().enumerate() {
        let answer = stack.client.register_reading(languages, &format!("u{n}@example.com"), PASSWORD).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let no_text = reqwest::header::HeaderValue::from_bytes(b"fr\xff").unwrap();
    let request = stack.client.request("POST", "/v1/users").header("Accept-Language", no_text);
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

/// Its reader is the owner of the account, and whoever asked may be anybody.
#[tokio::test(flavor = "multi_thread")]
async fn the_mail_that_an_account_exists_is_in_its_owners_language() {
    let stack = Stack::start().await;
    sign_up_and_activate(&stack, CANADIAN, ADA).await;
    sign_up_and_activate(&stack, "en", BOB).await;
    let mut seen = Vec::new();
    for (email, expected) in [(ADA, ("Vous avez déjà un compte", "fr")), (BOB, ("You already have an account", "en"))]
    {
        for (n, languages) in ["en", "fr"].into_iter().enumerate() {
            let answer = stack.client.register_reading(languages, email, STRANGER).await;
            seen.push(shape(&answer));
            assert_eq!(subject_and_language(&stack.mail_server.nth_mail_to(email, 3 + n).await), expected);
            stack.database.age(60).await;
        }
    }
    for languages in ["en", "fr"] {
        seen.push(shape(
            &stack.client.register_reading(languages, &format!("{languages}@example.com"), STRANGER).await,
        ));
    }
    // I-15: whatever language is asked for, and whatever is written.
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_language_does_not_make_it_another_request() {
    let stack = Stack::start().await;
    let ask = async |languages: &str| {
        let request = stack.client.request("POST", "/v1/users").header("Accept-Language", languages);
        send(request.header("Idempotency-Key", "key-1").json(&json!({ "email": ADA, "password": PASSWORD }))).await
    };
    let (first, again) = (ask(CANADIAN).await, ask("en").await);
    assert_eq!((first.status, again.status), (202, 202), "{again:?}");
    assert_eq!(first.registration(), again.registration());
    assert_eq!(subject_and_language(&stack.mail_server.mail_to(ADA).await).1, "fr");
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);
}

/// While a version with one more language is rolled out, or after it was rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn a_language_of_a_newer_version_is_english_here() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register_reading(CANADIAN, ADA, PASSWORD).await.registration();
    stack.database.execute("UPDATE registrations SET language = 'qaa'", &[]).await;
    stack.start_worker(&[]).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    assert_eq!(subject_and_language(&mail), ("Your sign-up code", "en"));
    api.client.receipt_when(&registration, "sent").await;
    assert_eq!(api.client.activate(ADA, &mail.code()).await.status, 200);
    assert_eq!(subject_and_language(&stack.mail_server.nth_mail_to(ADA, 2).await), ("Your account is active", "en"));
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_told_in_english_to_everybody() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let mut answers = Vec::new();
    for languages in ["en", "fr"] {
        let answer = api.client.register_reading(languages, "nobody", "short").await;
        assert_eq!(answer.problem(), (422, "invalid-input".into()));
        let mut body = answer.json();
        body["request_id"].take();
        answers.push(body);
    }
    assert_eq!(answers[0], answers[1]);
}
