//! Wrong passwords: how many are looked at, from where, and whom they lock out.

use serde_json::json;

use crate::limits::network_limits::{HERE, THERE, scope};
use support::{
    client::{Answer, Client, PASSWORD, at_once, at_once_or_again, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

async fn wrong_password(client: &Client, email: &str) -> Answer {
    client.activate_with(email, "not her password", &json!({ "code": "0000" })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_passwords_lock_an_address_for_one_network_longer_each_time() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let here = stack.client.at(HERE);
    for (locked_seconds, email) in [(900, ADA), (1_800, ADA), (900, "unknown@example.com")] {
        for _ in 0..5 {
            assert_eq!(wrong_password(&here, email).await.problem(), (401, "unauthenticated".into()));
        }
        let refused = here.activate(email, &code).await;
        assert_eq!(scope(&refused), (429, json!("account")), "not even the right one is looked at");
        let seconds = refused.header("retry-after").parse::<i64>().unwrap();
        assert!((locked_seconds - 60..=locked_seconds).contains(&seconds), "{email}: {seconds}");
        // For the lock alone, so that the code lives on.
        let passes = format!(
            "UPDATE lockouts SET until = until - i, failures = ARRAY (SELECT at - i FROM unnest(failures) AS at) \
             FROM (VALUES (interval '{locked_seconds} s')) AS t (i)"
        );
        stack.database.execute(&passes, &[]).await;
    }
    assert_eq!(here.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_wrong_passwords_at_once_five_are_looked_at() {
    let stack = Stack::start().await;
    let here = stack.client.at(HERE);
    let tried = at_once(50, |_| {
        let here = here.clone();
        async move { wrong_password(&here, ADA).await }
    });
    let counts = count(&tried.await);
    assert_eq!((counts[&401], counts.values().sum::<usize>()), (5, 50), "{counts:?}");
    // Whoever has to wait too long for Postgres is told so.
    assert!(counts.keys().all(|status| [401, 429, 503].contains(status)), "{counts:?}");
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
    let code = stack.mail_server.mail_to(ADA).await.code();
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

/// One password for many addresses, none of which is locked by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_tries_many_addresses_is_stopped_and_who_belongs_there_is_not() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    let (here, bob) = (stack.client.at(HERE), "bob@example.com");
    stack.account(ADA).await;
    let (_, code) = stack.sign_up(bob).await;
    assert_eq!(here.activate(bob, &code).await.status, 200);
    for twenty in 0..5 {
        let tried = at_once_or_again(20, |n| {
            let (here, email) = (here.clone(), format!("u{twenty}-{n}@example.com"));
            async move { wrong_password(&here, &email).await }
        });
        assert_eq!(count(&tried.await), [(401, 20)].into());
    }
    assert_eq!(scope(&here.login(ADA, PASSWORD).await), (429, json!("network")));
    assert_eq!(here.login(bob, PASSWORD).await.status, 200);
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    stack.database.age(900).await;
    for _ in 0..3 {
        assert_eq!(here.login(ADA, PASSWORD).await.status, 200);
    }
    let left = "SELECT count(*) FROM budgets WHERE kind = 'wrong-passwords-from' AND used_at <> '{}'";
    assert_eq!(stack.database.count(left).await, 0, "a right one is given back");
}
