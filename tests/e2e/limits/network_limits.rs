//! What one network may do, and what it cannot do to others.

use serde_json::{Value, json};

use crate::limits::code_guesses::other_than;
use support::{
    client::{Answer, at_once_or_again, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
pub(crate) const HERE: &str = "198.51.100.7";
pub(crate) const THERE: &str = "203.0.113.9";

pub(crate) fn scope(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["scope"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_takes_three_codes_an_hour_of_an_address_and_leaves_two_to_others() {
    let stack = Stack::start().await;
    let (here, there) = (stack.client.at(HERE), stack.client.at(THERE));
    for _ in 0..3 {
        assert_eq!(here.register(ADA).await.status, 202);
    }
    let refused = here.register(ADA).await;
    assert_eq!(scope(&refused), (429, json!("network")));
    let seconds = refused.header("retry-after").parse::<i64>().unwrap();
    assert!((3_500..=3_600).contains(&seconds), "{seconds}");
    assert_eq!(here.register("bob@example.com").await.status, 202, "it is this address that it had enough of");
    assert_eq!([there.register(ADA).await.status, there.register(ADA).await.status], [202, 202]);
    assert_eq!(scope(&there.register(ADA).await), (429, json!("address")));
    stack.database.age(3_600).await;
    assert_eq!(here.register(ADA).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_15_a_network_is_an_ipv4_address_or_a_64_and_nobody_else_says_where_he_is() {
    let stack = Stack::prepare(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "1")]).await;
    let client = stack.start_api(&[]).await.client;
    let mut n = 0;
    let mut register_at = async |address: &str| {
        n += 1;
        client.at(address).register(&format!("ada{n}@example.com")).await
    };
    assert_eq!(register_at("198.51.100.1").await.status, 202);
    assert_eq!(scope(&register_at("198.51.100.1").await), (429, json!("network")));
    assert_eq!(register_at("::ffff:198.51.100.1").await.status, 429);
    assert_eq!(register_at("192.0.2.66, 198.51.100.1").await.status, 429, "what the client wrote itself");
    assert_eq!(register_at("198.51.100.2").await.status, 202);
    assert_eq!(register_at("2001:db8:1:2::1").await.status, 202);
    assert_eq!(register_at("2001:db8:1:2:ffff::1").await.status, 429);
    assert_eq!(register_at("2001:db8:1:3::1").await.status, 202);

    let open = stack.start_api(&[("TRUSTED_PROXIES", "192.0.2.0/24")]).await.client;
    assert_eq!(open.at("198.51.100.77").register("eve@example.com").await.status, 202);
    assert_eq!(open.at("198.51.100.78").register("dan@example.com").await.status, 429, "the socket counts");
    let unlimited = stack.start_api(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "0")]).await.client;
    assert_eq!(unlimited.at("198.51.100.1").register("fay@example.com").await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_gives_ten_wrong_codes_in_ten_minutes_and_thirty_a_day() {
    let stack = Stack::start().await;
    let here = stack.client.at(HERE);
    let mut codes = vec![];
    for n in 0..12 {
        let email = format!("ada{n}@example.com");
        let (_, code) = stack.sign_up(&email).await;
        codes.push((email, code));
    }
    assert_eq!(here.activate(&codes[11].0, &codes[11].1).await.status, 200, "right ones do not count");
    let (mut wrong, mut refused) = (0, None);
    'guessing: for (email, code) in &codes[..11] {
        for _ in 0..3 {
            let answer = here.activate(email, &other_than(code)).await;
            if answer.status == 429 {
                refused = Some(answer);
                if wrong == 30 {
                    break 'guessing;
                }
                stack
                    .database
                    .execute(
                        "UPDATE budgets SET used_at = ARRAY (SELECT at - interval '10 min' FROM unnest(used_at) AS at)",
                        &[],
                    )
                    .await;
                continue;
            }
            assert_eq!(answer.problem(), (422, "wrong-code".into()));
            wrong += 1;
            assert!(wrong % 10 != 1 || wrong == 1 || refused.take().is_some(), "the eleventh was let through");
        }
    }
    assert_eq!(wrong, 30);
    let refused = refused.unwrap();
    assert_eq!(scope(&refused), (429, json!("network")));
    assert!(refused.header("retry-after").parse::<i64>().unwrap() > 80_000);
    assert_eq!(stack.client.at(THERE).activate(&codes[10].0, &codes[10].1).await.status, 200, "others are not held");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_registrations_at_once_a_network_has_its_three() {
    let stack = Stack::start_with(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "3")]).await;
    let here = stack.client.at(HERE);
    let registered = at_once_or_again(20, |n| {
        let here = here.clone();
        async move { here.register(&format!("ada{n}@example.com")).await }
    });
    assert_eq!(count(&registered.await), [(202, 3), (429, 17)].into());
}
