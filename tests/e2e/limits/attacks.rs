//! Attacks by a client that cannot read the victim's mail. The numbers (S-..) are those of the project's list of
//! attacks.

use std::collections::HashSet;

use serde_json::json;

use support::{
    client::{Answer, PASSWORD, concurrently, count, send},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// S-01, I-08: an attacker guesses all codes within the minute, over as many registrations as the budget allows. Nine
/// comparisons are made in all, and the correct codes are worthless afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn s_01_guessing_all_codes_gets_nine_comparisons() {
    let stack = Stack::start().await;
    for nth in 1..=5 {
        let answer = stack.client.register(ADA).await;
        stack.mail_server.nth_mail_to(ADA, nth).await;
        stack.client.wait_for_receipt(&answer.registration(), "sent").await;
    }
    let real_codes: HashSet<_> = stack.mail_server.mails_to(ADA).iter().map(|mail| mail.code()).collect();
    let guesses: Vec<_> = (0..10_000).map(|n| format!("{n:04}")).filter(|guess| !real_codes.contains(guess)).collect();
    let client = stack.client.clone();
    let answers = concurrently(300, |n| {
        let (client, guess) = (client.clone(), guesses[n * 33].clone());
        async move { client.activate(ADA, &guess).await }
    })
    .await;
    let counts = count(&answers);
    assert!(counts.keys().all(|status| [410, 422, 429, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 9);
    assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 0);
    // The correct codes do not activate any more either.
    for code in &real_codes {
        assert_eq!(stack.client.activate(ADA, code).await.status, 410);
    }
}

/// S-05, I-14. The code has ten digits, so that no answer contains it by chance.
#[tokio::test(flavor = "multi_thread")]
async fn s_05_no_answer_contains_the_code() {
    let stack = Stack::start_with(&[("CODE_LENGTH", "10"), ("RESEND_THROTTLE_SECONDS", "0")]).await;
    let registered = stack.client.register(ADA).await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    let receipt = format!("/v1/registrations/{}", registered.registration());
    stack.client.wait_for_receipt(&registered.registration(), "sent").await;
    let wrong = format!("{:010}", code.parse::<u64>().unwrap() ^ 1);
    let answers = [
        registered,
        stack.client.get(&receipt).await,
        stack.client.activate(ADA, &wrong).await,
        stack.client.resend(ADA).await,
        stack.client.activate(ADA, &code).await,
        stack.client.activate_with(ADA, PASSWORD, &json!({ "code": code, "registration": "?" })).await,
        stack.client.get("/v1/policy").await,
        stack.client.get("/health").await,
    ];
    for answer in &answers {
        assert!(!format!("{answer:?}").contains(&code), "{answer:?}");
    }
}

/// S-11: wrong JSON types are rejected; with a duplicate key, the email address that is validated is the one that is
/// stored.
#[tokio::test(flavor = "multi_thread")]
async fn s_11_arrays_and_duplicate_keys_bypass_nothing() {
    let stack = Stack::without_broker().await;
    let client = stack.start_api(&[]).await.client;
    let post = async |body: &'static str| {
        let request = client.request("POST", "/v1/users").header("Content-Type", "application/json").body(body);
        send(request).await
    };
    for body in [
        r#"[{"email":"ada@example.com","password":"correct horse battery"}]"#,
        r#"{"email":["ada@example.com","eve@example.com"],"password":"correct horse battery"}"#,
        r#"{"email":{"$ne":null},"password":"correct horse battery"}"#,
        r#"{"email":"ada@example.com","password":["correct horse battery"]}"#,
    ] {
        assert_eq!(post(body).await.problem(), (400, "malformed-request".into()), "{body}");
    }
    // One of the two email addresses is used, for validation and storage alike.
    let duplicate_key = r#"{"email":"ada@example.com","email":"eve@example.com","password":"correct horse battery"}"#;
    let answer = post(duplicate_key).await;
    assert!([202, 400].contains(&answer.status), "{answer:?}");
    let rows = stack.database.count("SELECT count(*) FROM registrations").await;
    assert_eq!(rows, i64::from(answer.status == 202));
}

/// S-14: links come from PUBLIC_URL only, whatever host the request headers claim.
#[tokio::test(flavor = "multi_thread")]
async fn s_14_request_headers_never_appear_in_mails_or_answers() {
    let stack = Stack::start().await;
    let body = json!({ "email": ADA, "password": PASSWORD });
    let request = stack.client.request("POST", "/v1/users").json(&body);
    let forged = ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Origin", "Referer", "X-Original-URL"];
    let request = forged.iter().fold(request, |request, name| request.header(*name, "evil.example"));
    let answer = send(request).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(!format!("{answer:?}").contains("evil.example"), "{answer:?}");
    let mail = stack.mail_server.mail_to(ADA).await;
    assert!(!mail.raw.contains("evil.example"), "{}", mail.raw);
    let problem = send(stack.client.request("GET", "/nowhere").header("Host", "evil.example")).await;
    assert!(problem.json()["type"].as_str().unwrap().starts_with("http://localhost:8000/"), "{problem:?}");
}

/// S-16, I-09: a thousand requests for one mailbox from a thousand networks stay within its budget of mails.
#[tokio::test(flavor = "multi_thread")]
async fn s_16_mail_bombing_stays_within_the_budget() {
    let stack = Stack::start().await;
    let client = stack.client.clone();
    let answers: Vec<Answer> = concurrently(1_000, |_| {
        let client = client.clone();
        async move { client.register(ADA).await }
    })
    .await;
    let counts = count(&answers);
    assert_eq!(counts[&202], 5, "{counts:?}");
    assert!(counts.keys().all(|status| [202, 429, 503].contains(status)), "{counts:?}");
    stack.database.age(3_600).await;
    for _ in 0..6 {
        client.register(ADA).await;
    }
    stack.database.age(3_600).await;
    assert_eq!(client.register(ADA).await.problem(), (429, "too-many-requests".into()));
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 10);
    stack.mail_server.nth_mail_to(ADA, 5).await;
    assert!(stack.mail_server.mails_to(ADA).len() <= 10);
}
