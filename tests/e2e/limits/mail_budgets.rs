//! Rate limits for codes (and so for mails) by email address.

use std::collections::HashMap;

use serde_json::json;

use crate::limits::network_limits::NETWORK_A;
use support::{
    client::{PASSWORD, concurrently_with_retry, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn resend_before_the_cool_down_is_rejected() {
    let stack = Stack::start().await;
    stack.sign_up(ADA).await;
    let answer = stack.client.resend(ADA).await;
    assert_eq!(answer.problem(), (429, "too-many-requests".into()));
    let (body, seconds) = (answer.json(), answer.header("retry-after").parse::<i64>().unwrap());
    assert_eq!((&body["scope"], &body["retry_after"]), (&json!("address"), &json!(seconds)));
    assert!((1..=60).contains(&seconds));
    stack.database.age(60).await;
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 2);
}

/// I-09: over any number of registrations and APIs, also for an email address that has an account.
#[tokio::test(flavor = "multi_thread")]
async fn address_gets_five_codes_hourly_and_ten_daily() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let answers = concurrently_with_retry(10, |n| {
        let client = if n % 2 == 0 { &stack.client } else { &other.client }.clone();
        async move { client.register_with(ADA, "another password").await }
    });
    assert_eq!(count(&answers.await), HashMap::from([(202, 4), (429, 6)]));
    stack.database.age(3_600).await;
    for n in 6..=10 {
        assert_eq!(stack.client.register(ADA).await.status, 202, "code {n}");
    }
    stack.database.age(3_600).await;
    let answer = stack.client.register(ADA).await;
    assert_eq!(answer.problem(), (429, "too-many-requests".into()));
    assert!(answer.header("retry-after").parse::<i64>().unwrap() > 70_000);
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 10);
}

/// A flood is rejected from memory (rejection cache). Meanwhile a repeated request with its idempotency key still
/// returns its receipt, and other email addresses are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn idempotent_repeat_succeeds_while_a_flood_is_rejected() {
    let stack = Stack::start_with(&[("CODES_PER_HOUR", "1")]).await;
    let network_a = stack.client.from_address(NETWORK_A);
    let first = network_a.register_with_key("her-key", ADA, PASSWORD).await.registration();
    for _ in 0..3 {
        let flood = concurrently_with_retry(20, |_| {
            let network_a = network_a.clone();
            async move { network_a.register(ADA).await }
        });
        assert_eq!(count(&flood.await), HashMap::from([(429, 20)]));
    }
    assert_eq!(network_a.register_with_key("her-key", ADA, PASSWORD).await.registration(), first);
    assert_eq!(network_a.register("bob@example.com").await.status, 202);
}
