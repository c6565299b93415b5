//! One network cannot occupy the hash threads with correct passwords.

use serde_json::json;

use crate::limits::network_limits::{NETWORK_A, NETWORK_B, status_and_scope};
use support::{
    client::{Answer, PASSWORD, concurrently, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// Connections of the attacker: with more, the reserved attempts of concurrent requests would lock out the address.
const CONNECTIONS: usize = 4;
const REQUESTS: usize = 300;

/// S-31: the password of a pending registration is correct, so no limit on wrong passwords applies to its logins and
/// resends. They are limited per network all the same, and another network registers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn s_31_correct_passwords_are_limited_per_network() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    let (attacker, other) = (stack.client.from_address(NETWORK_A), stack.client.from_address(NETWORK_B));
    assert_eq!(attacker.register(ADA).await.status, 202);

    let flooding = tokio::spawn(async move {
        let connections = (0..CONNECTIONS).map(|_| {
            let attacker = attacker.clone();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for n in 0..REQUESTS / CONNECTIONS {
                    let is_resend = n % 5 == 4;
                    let answer =
                        if is_resend { attacker.resend(ADA).await } else { attacker.login(ADA, PASSWORD).await };
                    answers.push((is_resend, answer));
                }
                answers
            })
        });
        let connections: Vec<_> = connections.collect();
        let mut answers = Vec::new();
        for connection in connections {
            answers.extend(connection.await.unwrap());
        }
        answers
    });
    let registered = concurrently(40, |n| {
        let other = other.clone();
        async move { other.register(&format!("bob{n}@example.com")).await }
    });
    assert_eq!(count(&registered.await), [(202, 40)].into(), "the other network is not affected");

    let answers = flooding.await.unwrap();
    let limited = |answer: &Answer| status_and_scope(answer) == (429, json!("network"));
    let (rejected, verified): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| limited(answer));
    // A second minute may begin on a slow machine, but not a third.
    assert!((120..=240).contains(&verified.len()), "{} of {REQUESTS} passwords were verified", verified.len());
    assert!(rejected.iter().any(|(is_resend, _)| *is_resend), "resends and logins share the limit");
    for (_, answer) in &rejected {
        let seconds = answer.header("retry-after").parse::<u64>().unwrap();
        assert!((1..=60).contains(&seconds), "{answer:?}");
    }
    for (is_resend, answer) in verified {
        // A resend is too early for another code, unless a minute has passed.
        let expected: &[u16] = if *is_resend { &[429, 202] } else { &[403] };
        assert!(expected.contains(&answer.status), "{answer:?}");
    }
    assert_eq!(other.login("bob0@example.com", PASSWORD).await.status, 403, "other networks are not limited");
}

/// `PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE` counts every password that is verified, correct or wrong; registrations are
/// not counted. 0 disables it.
#[tokio::test(flavor = "multi_thread")]
async fn password_checks_have_a_configurable_limit() {
    let cheap = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];
    let stack = Stack::prepare(&cheap).await;
    let start = async |limit: &str| {
        let api = stack.start_api(&[("PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE", limit)]).await;
        let published = api.client.get("/v1/policy").await.json()["password_checks_per_network"].clone();
        (api.client.from_address(NETWORK_A), published)
    };
    let (limited, published) = start("3").await;
    assert_eq!(published, json!([{ "limit": 3, "seconds": 60 }]));
    assert_eq!(limited.register_with_key("her-key", ADA, PASSWORD).await.status, 202);
    assert_eq!(limited.register("bob@example.com").await.status, 202);
    assert_eq!(limited.login(ADA, PASSWORD).await.status, 403);
    assert_eq!(limited.login(ADA, "not her password").await.status, 401);
    assert_eq!(
        limited.register_with_key("her-key", ADA, PASSWORD).await.status,
        202,
        "the third: it compares a password"
    );
    for answer in [
        limited.login(ADA, PASSWORD).await,
        limited.resend(ADA).await,
        limited.activate(ADA, "0000").await,
        limited.register_with_key("her-key", ADA, PASSWORD).await,
    ] {
        assert_eq!(status_and_scope(&answer), (429, json!("network")), "{answer:?}");
    }
    assert_eq!(limited.register("eve@example.com").await.status, 202);

    let (unlimited, published) = start("0").await;
    assert!(published.is_null());
    for _ in 0..9 {
        assert_eq!(unlimited.login(ADA, PASSWORD).await.status, 403);
    }
}
