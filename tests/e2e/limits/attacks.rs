//! What an attacker tries who never reads the mail. The numbers are those of the project's list of attacks.

use std::collections::HashSet;

use serde_json::json;

use support::{
    client::{Answer, PASSWORD, at_once, count, send},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// All ten thousand codes in the minute, over every registration that can be had.
#[tokio::test(flavor = "multi_thread")]
async fn s_01_of_all_codes_in_the_minute_nine_are_compared() {
    let stack = Stack::start().await;
    for nth in 1..=5 {
        let answer = stack.client.register(ADA).await;
        stack.mail_server.nth_mail_to(ADA, nth).await;
        stack.client.receipt_when(&answer.registration(), "sent").await;
    }
    let real: HashSet<_> = stack.mail_server.mails_to(ADA).iter().map(|mail| mail.code()).collect();
    let guesses: Vec<_> = (0..10_000).map(|n| format!("{n:04}")).filter(|guess| !real.contains(guess)).collect();
    let client = stack.client.clone();
    let answers = at_once(300, |n| {
        let (client, guess) = (client.clone(), guesses[n * 33].clone());
        async move { client.activate(ADA, &guess).await }
    })
    .await;
    let counts = count(&answers);
    assert!(counts.keys().all(|status| [410, 422, 429, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 9);
    assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 0);
    // Nor is the right one of any use afterwards.
    for code in &real {
        assert_eq!(stack.client.activate(ADA, code).await.status, 410);
    }
}

/// A code of ten digits is in no answer by random_id.
#[tokio::test(flavor = "multi_thread")]
async fn s_05_no_answer_holds_the_code() {
    let stack = Stack::start_with(&[("CODE_LENGTH", "10"), ("RESEND_THROTTLE_SECONDS", "0")]).await;
    let registered = stack.client.register(ADA).await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    let receipt = format!("/v1/registrations/{}", registered.registration());
    stack.client.receipt_when(&registered.registration(), "sent").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn s_11_lists_and_repeated_members_are_no_way_around_anything() {
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
    // One of the two is taken, for validation and for storage alike.
    let twice = r#"{"email":"ada@example.com","email":"eve@example.com","password":"correct horse battery"}"#;
    let answer = post(twice).await;
    assert!([202, 400].contains(&answer.status), "{answer:?}");
    let rows = stack.database.count("SELECT count(*) FROM registrations").await;
    assert_eq!(rows, i64::from(answer.status == 202));
}

/// Whatever a request says about where it was sent, links come from PUBLIC_URL.
#[tokio::test(flavor = "multi_thread")]
async fn s_14_no_header_of_a_request_gets_into_a_mail_or_an_answer() {
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
    let refused = send(stack.client.request("GET", "/nowhere").header("Host", "evil.example")).await;
    assert!(refused.json()["type"].as_str().unwrap().starts_with("http://localhost:8000/"), "{refused:?}");
}

/// A thousand requests for one address from a thousand networks.
#[tokio::test(flavor = "multi_thread")]
async fn s_16_nobody_is_bombed_with_mails() {
    let stack = Stack::start().await;
    let client = stack.client.clone();
    let answers: Vec<Answer> = at_once(1_000, |_| {
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
