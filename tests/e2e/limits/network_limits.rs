//! Rate limits by network, and that one network cannot use up what others need.

use serde_json::{Value, json};

use crate::limits::code_guesses::different_code;
use support::{
    client::{Answer, PASSWORD, concurrently_with_retry, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
/// A client's address, in a network of its own.
pub(crate) const NETWORK_A: &str = "198.51.100.7";
/// Another client's address, in another network.
pub(crate) const NETWORK_B: &str = "203.0.113.9";

/// Status, and which limit applied.
pub(crate) fn status_and_scope(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["scope"].clone())
}

/// Of the five codes an hour for an email address, one network gets three, so that two are left for the owner's
/// network.
#[tokio::test(flavor = "multi_thread")]
async fn network_gets_three_codes_per_address_and_hour() {
    let stack = Stack::start().await;
    let (network_a, network_b) = (stack.client.from_address(NETWORK_A), stack.client.from_address(NETWORK_B));
    for _ in 0..3 {
        assert_eq!(network_a.register(ADA).await.status, 202);
    }
    let rejected = network_a.register(ADA).await;
    assert_eq!(status_and_scope(&rejected), (429, json!("network")));
    let seconds = rejected.header("retry-after").parse::<i64>().unwrap();
    assert!((3_500..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(network_a.register("bob@example.com").await.status, 202, "the limit is for this address only");
    assert_eq!([network_b.register(ADA).await.status, network_b.register(ADA).await.status], [202, 202]);
    assert_eq!(status_and_scope(&network_b.register(ADA).await), (429, json!("address")));
    stack.database.age(3_600).await;
    assert_eq!(network_a.register(ADA).await.status, 202);
}

/// S-15: a network is an IPv4 address (also if mapped to IPv6) or an IPv6 /64. It comes from `X-Forwarded-For` as
/// written by trusted proxies, otherwise from the socket.
#[tokio::test(flavor = "multi_thread")]
async fn s_15_network_cannot_be_forged_by_the_client() {
    let stack = Stack::prepare(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "1")]).await;
    let client = stack.start_api(&[]).await.client;
    let mut n = 0;
    let mut register_at = async |address: &str| {
        n += 1;
        client.from_address(address).register(&format!("ada{n}@example.com")).await
    };
    assert_eq!(register_at("198.51.100.1").await.status, 202);
    assert_eq!(status_and_scope(&register_at("198.51.100.1").await), (429, json!("network")));
    assert_eq!(register_at("::ffff:198.51.100.1").await.status, 429);
    assert_eq!(register_at("192.0.2.66, 198.51.100.1").await.status, 429, "the part that the client wrote is ignored");
    assert_eq!(register_at("198.51.100.2").await.status, 202);
    assert_eq!(register_at("2001:db8:1:2::1").await.status, 202);
    assert_eq!(register_at("2001:db8:1:2:ffff::1").await.status, 429);
    assert_eq!(register_at("2001:db8:1:3::1").await.status, 202);

    let untrusting = stack.start_api(&[("TRUSTED_PROXIES", "192.0.2.0/24")]).await.client;
    assert_eq!(untrusting.from_address("198.51.100.77").register("eve@example.com").await.status, 202);
    assert_eq!(
        untrusting.from_address("198.51.100.78").register("dan@example.com").await.status,
        429,
        "the header of an untrusted peer is ignored"
    );
    let unlimited = stack.start_api(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "0")]).await.client;
    assert_eq!(unlimited.from_address("198.51.100.1").register("fay@example.com").await.status, 202);
}

/// 10 wrong codes in 10 minutes and 30 a day for one network over all email addresses. Correct codes do not count, and
/// other networks are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn network_gets_ten_then_thirty_wrong_codes() {
    // No code expires before the last of thirty guesses, however slow the machine is. Thirty guesses at four digits would
    // exceed the limit of the instance.
    let stack = Stack::start_with(&[("CODE_TTL_SECONDS", "600"), ("CODE_LENGTH", "6")]).await;
    let network_a = stack.client.from_address(NETWORK_A);
    let mut codes = vec![];
    for n in 0..12 {
        let email = format!("ada{n}@example.com");
        let (_, code) = stack.sign_up(&email).await;
        codes.push((email, code));
    }
    assert_eq!(network_a.activate(&codes[11].0, &codes[11].1).await.status, 200, "correct codes do not count");
    let mut wrong = 0;
    let mut rejected = None;
    'guessing: for (email, code) in &codes[..11] {
        for _ in 0..3 {
            let answer = network_a.activate(email, &different_code(code)).await;
            if answer.status == 429 {
                rejected = Some(answer);
                if wrong == 30 {
                    break 'guessing;
                }
                stack.database.execute("UPDATE code_attempts SET at = at - interval '10 min'", &[]).await;
                continue;
            }
            assert_eq!(answer.problem(), (422, "wrong-code".into()));
            wrong += 1;
            assert!(
                wrong % 10 != 1 || wrong == 1 || rejected.take().is_some(),
                "the eleventh wrong code was not rejected"
            );
        }
    }
    assert_eq!(wrong, 30);
    let rejected = rejected.unwrap();
    assert_eq!(status_and_scope(&rejected), (429, json!("network")));
    assert!(rejected.header("retry-after").parse::<i64>().unwrap() > 80_000);
    assert_eq!(network_a.login(&codes[11].0, PASSWORD).await.status, 200, "only codes are limited");
    assert_eq!(
        stack.client.from_address(NETWORK_B).activate(&codes[10].0, &codes[10].1).await.status,
        200,
        "other networks are not limited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn three_of_twenty_concurrent_registrations_are_accepted() {
    let stack = Stack::start_with(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "3")]).await;
    let network_a = stack.client.from_address(NETWORK_A);
    let registered = concurrently_with_retry(20, |n| {
        let network_a = network_a.clone();
        async move { network_a.register(&format!("ada{n}@example.com")).await }
    });
    assert_eq!(count(&registered.await), [(202, 3), (429, 17)].into());
}
