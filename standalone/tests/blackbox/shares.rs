//! What one network may do, and what it cannot do to others.

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, PASSWORD, at_once, count},
    guesses::other_than,
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const HERE: &str = "198.51.100.7";
const THERE: &str = "203.0.113.9";

fn scope(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["scope"].clone())
}

async fn wrong_password(client: &Client, email: &str) -> Answer {
    client.activate_with(email, "not her password", &json!({ "code": "0000" })).await
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
async fn five_wrong_passwords_lock_an_address_for_one_network_longer_each_time() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let here = stack.client.at(HERE);
    for (locked_seconds, email) in [(900, ADA), (1_800, ADA), (900, "nobody@example.com")] {
        for _ in 0..5 {
            assert_eq!(wrong_password(&here, email).await.problem(), (401, "unauthenticated".into()));
        }
        let refused = here.activate(email, &code).await;
        assert_eq!(scope(&refused), (429, json!("account")), "not even the right one is looked at");
        let seconds = refused.header("retry-after").parse::<i64>().unwrap();
        assert!((locked_seconds - 60..=locked_seconds).contains(&seconds), "{email}: {seconds}");
        stack
            .database
            .execute(&format!("UPDATE lockouts SET until = until - interval '{locked_seconds} s'"), &[])
            .await;
    }
    assert_eq!(here.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_wrong_passwords_at_once_five_are_looked_at_and_of_twenty_registrations_three_are_taken() {
    let stack = Stack::start_with(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "3")]).await;
    let here = stack.client.at(HERE);
    let registered = at_once(20, |n| {
        let here = here.clone();
        async move { here.register(&format!("ada{n}@example.com")).await }
    });
    assert_eq!(count(&registered.await), [(202, 3), (429, 17)].into());
    let tried = at_once(50, |_| {
        let here = here.clone();
        async move { wrong_password(&here, ADA).await }
    });
    assert_eq!(count(&tried.await), [(401, 5), (429, 45)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_right_passwords_at_once_leave_no_failures_behind() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let client = stack.client.clone();
    at_once(60, |_| {
        let client = client.clone();
        async move { client.resend(ADA).await }
    })
    .await;
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
    assert_eq!(wrong_password(&stack.client, ADA).await.status, 401);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

/// Whoever knows the key that somebody registered with could try passwords for ever.
#[tokio::test(flavor = "multi_thread")]
async fn repeating_a_registration_with_other_passwords_counts_as_giving_wrong_ones() {
    let stack = Stack::start().await;
    let here = stack.client.at(HERE);
    assert_eq!(here.register_once("her key", ADA, PASSWORD).await.problem().1, "malformed-request");
    assert_eq!(here.register_once("her-key", ADA, PASSWORD).await.status, 202);
    for n in 0..5 {
        let repeated = here.register_once("her-key", ADA, &format!("guess number {n}")).await;
        assert_eq!(repeated.problem(), (409, "idempotency-mismatch".into()));
    }
    assert_eq!(scope(&here.register_once("her-key", ADA, PASSWORD).await), (429, json!("account")));
    let there = stack.client.at(THERE);
    for _ in 0..9 {
        assert_eq!(there.register_once("her-key", ADA, PASSWORD).await.status, 202, "the right one does not count");
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_for_a_code_here_is_not_held_up_by_those_who_guess_elsewhere() {
    let stack = Stack::start().await;
    let here = stack.client.at(HERE);
    let registration = here.register(ADA).await.registration();
    let code = stack.sink.mail_to(ADA).await.code();
    here.receipt_when(&registration, "sent").await;
    for _ in 0..50 {
        assert_eq!(wrong_password(&stack.client, ADA).await.status, 401);
    }
    assert_eq!(stack.client.activate(ADA, &code).await.status, 429);
    assert_eq!(here.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_password_of_ones_own_does_not_forgive_guesses_at_somebody_elses() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let here = stack.client.at(HERE);
    assert_eq!(here.register_with(ADA, "the stranger's own").await.status, 202);
    for _ in 0..4 {
        assert_eq!(wrong_password(&here, ADA).await.status, 401);
    }
    let own = here.activate_with(ADA, "the stranger's own", &json!({ "code": "0000" })).await;
    assert_eq!(own.problem().1, "wrong-code");
    assert_eq!(wrong_password(&here, ADA).await.status, 401);
    assert_eq!(scope(&wrong_password(&here, ADA).await), (429, json!("account")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_attacked_from_everywhere_stays_open_to_where_it_came_in_from() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let home = stack.client.at(HERE);
    assert_eq!(home.activate(ADA, &code).await.status, 200);
    for _ in 0..50 {
        assert_eq!(wrong_password(&stack.client, ADA).await.status, 401);
    }
    assert_eq!(scope(&stack.client.activate(ADA, &code).await), (429, json!("account")));
    assert_eq!(home.activate(ADA, &code).await.problem(), (409, "already-active".into()));
}
