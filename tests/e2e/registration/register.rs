//! `POST /v1/users`: input validation, idempotency keys and overload.

use serde_json::{Value, json};

use support::{
    client::{PASSWORD, concurrently, concurrently_with_retry, send},
    stack::Stack,
};

/// Starts an API without broker and worker.
async fn start_api() -> (Stack, support::client::Client) {
    let stack = Stack::without_broker().await;
    let client = stack.start_api(&[]).await.client.clone();
    (stack, client)
}

/// Field and code of each validation error.
fn field_errors(body: &Value) -> Vec<(&str, &str)> {
    let errors = body["errors"].as_array().unwrap();
    errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_input_reports_every_field_error() {
    let (stack, client) = start_api().await;
    for (body, expected) in [
        (json!({}), [("email", "required"), ("password", "required")]),
        (json!({ "email": "not-an-address", "password": "short" }), [("email", "invalid"), ("password", "too-short")]),
        (json!({ "email": null, "password": "password" }), [("email", "required"), ("password", "too-common")]),
    ] {
        let answer = client.post("/v1/users", &body).await;
        assert_eq!(answer.problem(), (422, "invalid-input".into()));
        assert_eq!(field_errors(&answer.json()), expected);
    }
    let same_as_email = client.register_with("ada@example.com", "ada@example.com").await;
    assert_eq!(field_errors(&same_as_email.json()), [("password", "is-address")]);
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 0);
}

/// S-08, S-09, S-10: case and surrounding blanks make no second email address; display names, lists, quotes, literals
/// and line breaks are rejected.
#[tokio::test(flavor = "multi_thread")]
async fn s_08_s_09_s_10_email_spellings_are_normalized_or_rejected() {
    let (stack, client) = start_api().await;
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

/// A repeated request creates no second code; another request with the key is a mismatch; the key can be reused after
/// 24 h.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_idempotency_key_returns_the_first_receipt() {
    let stack = Stack::start().await;
    let first = stack.client.register_with_key("key-1", "ada@example.com", PASSWORD).await;
    let repeated = stack.client.register_with_key("key-1", "Ada@example.com", PASSWORD).await;
    assert_eq!((first.status, repeated.status), (202, 202), "{repeated:?}");
    assert_eq!(first.registration(), repeated.registration());
    assert_eq!(first.header("location"), repeated.header("location"));
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);

    for (email, password) in [("bob@example.com", PASSWORD), ("ada@example.com", "another password")] {
        let answer = stack.client.register_with_key("key-1", email, password).await;
        assert_eq!(answer.problem(), (409, "idempotency-mismatch".into()));
    }
    stack.database.age(86_400).await;
    let later = stack.client.register_with_key("key-1", "bob@example.com", PASSWORD).await;
    assert_eq!(later.status, 202);
    assert_ne!(later.registration(), first.registration());
}

/// I-20: twenty concurrent requests with one idempotency key create one registration.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_key_register_once() {
    let (stack, client) = start_api().await;
    let answers = concurrently_with_retry(20, |_| {
        let client = client.clone();
        async move { client.register_with_key("key-1", "ada@example.com", PASSWORD).await }
    });
    let ids: Vec<_> = answers.await.iter().map(|answer| answer.registration()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 1);
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);
}

/// Keys have 1 to 255 visible ASCII characters.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_idempotency_key_is_rejected() {
    let (_stack, client) = start_api().await;
    let long = "k".repeat(256);
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    for key in [b"".as_slice(), b"two words", b"\xff\xfe", long.as_bytes()] {
        let value = reqwest::header::HeaderValue::from_bytes(key).unwrap();
        let answer = send(client.request("POST", "/v1/users").header("Idempotency-Key", value).json(&body)).await;
        assert_eq!(answer.problem(), (400, "malformed-request".into()), "{key:?}");
    }
}

/// S-18: bytes after the 72nd (where bcrypt truncates) are significant, and passwords beyond 128 characters are
/// rejected before hashing.
#[tokio::test(flavor = "multi_thread")]
async fn s_18_passwords_are_neither_truncated_nor_unbounded() {
    let stack = Stack::start().await;
    let long = "a1".repeat(64);
    let answer = stack.client.register_with("ada@example.com", &long).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let code = stack.mail_server.mail_to("ada@example.com").await.code();
    stack.client.wait_for_receipt(&answer.registration(), "sent").await;
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

/// A request that is rejected with 503 stores nothing.
#[tokio::test(flavor = "multi_thread")]
async fn full_hash_pool_rejects_without_storing_anything() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[("HASH_THREADS", "1"), ("HASH_QUEUE_MS", "1")]).await;
    let answers = concurrently(30, |n| {
        let client = api.client.clone();
        async move { client.register(&format!("u{n}@example.com")).await }
    });
    let (accepted, rejected): (Vec<_>, Vec<_>) = answers.await.into_iter().partition(|answer| answer.status == 202);
    assert!(!rejected.is_empty());
    for answer in &rejected {
        assert_eq!(answer.problem(), (503, "overloaded".into()));
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, accepted.len() as i64);
}
