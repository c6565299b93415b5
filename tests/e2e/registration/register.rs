//! What registration takes and refuses.

use serde_json::{Value, json};

use support::{
    client::{PASSWORD, at_once, at_once_or_again, send},
    stack::Stack,
};

async fn api() -> (Stack, support::client::Client) {
    let stack = Stack::without_broker().await;
    let client = stack.start_api(&[]).await.client.clone();
    (stack, client)
}

fn faults(body: &Value) -> Vec<(&str, &str)> {
    let errors = body["errors"].as_array().unwrap();
    errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_are_told_at_once() {
    let (stack, client) = api().await;
    for (body, expected) in [
        (json!({}), [("email", "required"), ("password", "required")]),
        (json!({ "email": "nobody", "password": "short" }), [("email", "invalid"), ("password", "too-short")]),
        (json!({ "email": null, "password": "password" }), [("email", "required"), ("password", "too-common")]),
    ] {
        let answer = client.post("/v1/users", &body).await;
        assert_eq!(answer.problem(), (422, "invalid-input".into()));
        assert_eq!(faults(&answer.json()), expected);
    }
    let own = client.register_with("ada@example.com", "ada@example.com").await;
    assert_eq!(faults(&own.json()), [("password", "is-address")]);
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_s_09_s_10_an_address_has_one_form_however_it_is_written() {
    let (stack, client) = api().await;
    for email in ["ada@example.com", " ADA@EXAMPLE.COM ", "Ada@Example.com"] {
        assert_eq!(client.register(email).await.status, 202);
    }
    assert_eq!(stack.database.count("SELECT count(DISTINCT email) FROM registrations").await, 1);
    for email in
        ["Ada <ada@example.com>", "ada@localhost", "ada@[127.0.0.1]", "a@x.io,b@x.io", "a\r\nb@x.io", "\"a\"@x.io"]
    {
        assert_eq!(client.register(email).await.problem(), (422, "invalid-input".into()), "{email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_has_the_same_receipt_and_no_second_mail() {
    let stack = Stack::start().await;
    let first = stack.client.register_once("key-1", "ada@example.com", PASSWORD).await;
    let again = stack.client.register_once("key-1", "Ada@example.com", PASSWORD).await;
    assert_eq!((first.status, again.status), (202, 202), "{again:?}");
    assert_eq!(first.registration(), again.registration());
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);

    for (email, password) in [("bob@example.com", PASSWORD), ("ada@example.com", "another password")] {
        let answer = stack.client.register_once("key-1", email, password).await;
        assert_eq!(answer.problem(), (409, "idempotency-mismatch".into()));
    }
    stack.database.age(86_400).await;
    let later = stack.client.register_once("key-1", "bob@example.com", PASSWORD).await;
    assert_eq!(later.status, 202);
    assert_ne!(later.registration(), first.registration());
}

/// I-20: twenty at once, one registration.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_the_same_time_is_one_registration() {
    let (stack, client) = api().await;
    let answers = at_once_or_again(20, |_| {
        let client = client.clone();
        async move { client.register_once("key-1", "ada@example.com", PASSWORD).await }
    });
    let ids: Vec<_> = answers.await.iter().map(|answer| answer.registration()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 1);
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_is_refused() {
    let (_stack, client) = api().await;
    let long = "k".repeat(256);
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    for key in [b"".as_slice(), b"two words", b"\xff\xfe", long.as_bytes()] {
        let value = reqwest::header::HeaderValue::from_bytes(key).unwrap();
        let answer = send(client.request("POST", "/v1/users").header("Idempotency-Key", value).json(&body)).await;
        assert_eq!(answer.problem(), (400, "malformed-request".into()), "{key:?}");
    }
}

/// The 73rd byte counts, and nothing endless is hashed.
#[tokio::test(flavor = "multi_thread")]
async fn s_18_passwords_are_neither_cut_nor_endless() {
    let stack = Stack::start().await;
    let long = "a1".repeat(64);
    let answer = stack.client.register_with("ada@example.com", &long).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let code = stack.mail_server.mail_to("ada@example.com").await.code();
    stack.client.receipt_when(&answer.registration(), "sent").await;
    let body = json!({ "code": code });
    for wrong in [long[..127].to_owned(), format!("{}x", &long[..127]), format!("{long}x")] {
        let answer = stack.client.activate_with("ada@example.com", &wrong, &body).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()));
    }
    assert_eq!(stack.client.activate_with("ada@example.com", &long, &body).await.status, 200);
    for length in [129, 513, 15_000] {
        assert_eq!(stack.client.register_with("bob@example.com", &"x".repeat(length)).await.problem().0, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_hash_pool_refuses_and_does_nothing_by_halves() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[("HASH_THREADS", "1"), ("HASH_QUEUE_MS", "1")]).await;
    let answers = at_once(30, |n| {
        let client = api.client.clone();
        async move { client.register(&format!("u{n}@example.com")).await }
    });
    let (taken, refused): (Vec<_>, Vec<_>) = answers.await.into_iter().partition(|answer| answer.status == 202);
    assert!(!refused.is_empty());
    for answer in &refused {
        assert_eq!(answer.problem(), (503, "overloaded".into()));
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, taken.len() as i64);
}
