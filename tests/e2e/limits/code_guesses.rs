//! Guesses: how many there are, at what, and what they cost.

use serde_json::{Value, json};

use support::{
    client::{PASSWORD, at_once, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// A code that is not this one.
pub(crate) fn other_than(code: &str) -> String {
    let number: u64 = code.parse().unwrap();
    format!("{:0width$}", (number + 1) % 10_u64.pow(code.len() as u32), width = code.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_wrong_code_kills_even_the_right_one() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    for left in [2, 1, 0] {
        let answer = stack.client.activate(ADA, &other_than(&code)).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        assert_eq!(answer.json()["attempts_left"], left);
    }
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (410, "code-exhausted".into()));
    let receipt = stack.client.receipt(&registration).await;
    assert_eq!((&receipt["status"], &receipt["attempts_left"]), (&json!("expired"), &json!(0)));
}

/// I-07, I-13.
#[tokio::test(flavor = "multi_thread")]
async fn s_03_of_a_hundred_right_codes_at_once_one_wins() {
    // So many that a winner who has to come back later is not the end.
    let attempts = [("CODE_ATTEMPTS", "10")];
    let stack = Stack::start_with(&attempts).await;
    let other = stack.start_api(&attempts).await;
    let (_, code) = stack.sign_up(ADA).await;
    let answers = at_once(100, |n| {
        let (client, code) = (if n % 2 == 0 { &stack.client } else { &other.client }.clone(), code.clone());
        async move { client.activate(ADA, &code).await }
    });
    let counts = count(&answers.await);
    assert_eq!(counts[&200], 1, "{counts:?}");
    // On a busy machine some may be told to come back later.
    assert!(counts.keys().all(|status| [200, 409, 410, 429, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 1);
}

/// I-08.
#[tokio::test(flavor = "multi_thread")]
async fn s_02_of_two_hundred_wrong_codes_at_once_three_are_compared() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    let (_, code) = stack.sign_up(ADA).await;
    let answers = at_once(200, |n| {
        let (client, guess) = (if n % 2 == 0 { &stack.client } else { &other.client }.clone(), other_than(&code));
        async move { client.activate(ADA, &guess).await }
    });
    let counts = count(&answers.await);
    assert_eq!(counts[&422], 3, "{counts:?}");
    assert!(counts.keys().all(|status| [422, 410, 429, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 3);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_20_without_the_password_nobody_burns_a_try() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    for body in
        [json!({ "code": "0000" }), json!({ "code": code }), json!({ "code": code, "registration": registration })]
    {
        let answer = stack.client.activate_with(ADA, "not her password", &body).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()));
    }
    assert_eq!(stack.client.receipt(&registration).await["attempts_left"], 3);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

/// I-08: an attacker who signs up many times with one password has every guess counted at every code
/// that it is compared with. (Choosing the registration by its code first would compare for free.)
#[tokio::test(flavor = "multi_thread")]
async fn a_guess_counts_at_every_code_it_is_compared_with() {
    let stack = Stack::start().await;
    for n in 1..=3 {
        let registration = stack.client.register(ADA).await.registration();
        stack.mail_server.nth_mail_to(ADA, n).await;
        stack.client.receipt_when(&registration, "sent").await;
    }
    let codes: Vec<_> = stack.mail_server.mails_to(ADA).iter().map(|mail| mail.code()).collect();
    let wrong = (0..).map(|n| format!("{n:04}")).find(|guess| !codes.contains(guess)).unwrap();
    stack.client.activate(ADA, &wrong).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM codes WHERE attempts = 1").await, 3);
    // With another password nothing is compared at all.
    stack.client.activate_with(ADA, "something else", &json!({ "code": codes[0] })).await;
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_04_odd_codes_are_refused_before_anything_is_counted() {
    let stack = Stack::start().await;
    let (registration, _) = stack.sign_up(ADA).await;
    let refused: [(Value, u16); 8] = [
        (json!({}), 422),
        (json!({ "code": null }), 422),
        (json!({ "code": "" }), 422),
        (json!({ "code": "٠٠٤٢" }), 422),
        (json!({ "code": "00 42" }), 422),
        (json!({ "code": "12345678901" }), 422),
        (json!({ "code": 1234 }), 400),
        (json!({ "code": ["1234"] }), 400),
    ];
    for (body, status) in refused {
        let answer = stack.client.activate_with(ADA, PASSWORD, &body).await;
        assert_eq!(answer.problem().0, status, "{body}");
    }
    assert_eq!(stack.client.receipt(&registration).await["attempts_left"], 3);
    let (other, _) = stack.sign_up("bob@example.com").await;
    let foreign = json!({ "code": "0000", "registration": other });
    assert_eq!(stack.client.activate_with(ADA, PASSWORD, &foreign).await.problem().0, 401);
}

/// I-08 does not hang on the lock of the address alone, which two APIs whose secrets differ do not share.
#[tokio::test(flavor = "multi_thread")]
async fn the_statement_that_counts_a_try_cannot_count_too_far() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    api.client.register(ADA).await;
    let code: uuid::Uuid = stack.database.client().query_one("SELECT id FROM codes", &[]).await.unwrap().get(0);
    let count = api::statements().into_iter().find(|sql| sql.starts_with("UPDATE codes SET attempts")).unwrap();
    for tried in 0..5 {
        let granted = stack.database.client().execute(count, &[&vec![code]]).await.unwrap();
        assert_eq!(granted, u64::from(tried < 3), "try {tried}");
    }
}
