//! Rate limit and lock-out for wrong passwords, by email address and network.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::limits::network_limits::{NETWORK_A, NETWORK_B, status_and_scope};
use support::{
    client::{Answer, Client, PASSWORD, concurrently, concurrently_with_retry, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// Tries to activate with a wrong password.
async fn wrong_password(client: &Client, email: &str) -> Answer {
    client.activate_with(email, "not her password", &json!({ "code": "0000" })).await
}

/// The lock applies to one email address from one network, doubles each time, and also exists for unknown email
/// addresses (I-15).
#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_passwords_lock_with_doubling_duration() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let network_a = stack.client.from_address(NETWORK_A);
    for (locked_seconds, email) in [(900, ADA), (1_800, ADA), (900, "unknown@example.com")] {
        for _ in 0..5 {
            assert_eq!(wrong_password(&network_a, email).await.problem(), (401, "unauthenticated".into()));
        }
        let rejected = network_a.activate(email, &code).await;
        assert_eq!(status_and_scope(&rejected), (429, json!("account")), "the correct password is not verified either");
        let seconds = rejected.header("retry-after").parse::<i64>().unwrap();
        assert!((locked_seconds - 60..=locked_seconds).contains(&seconds), "{email}: {seconds}");
        // Ages the lock alone: the code must stay valid.
        let age_lock = format!(
            "UPDATE lockouts SET until = until - i, failures = ARRAY (SELECT at - i FROM unnest(failures) AS at) \
             FROM (VALUES (interval '{locked_seconds} s')) AS t (i)"
        );
        stack.database.execute(&age_lock, &[]).await;
    }
    assert_eq!(network_a.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_of_fifty_concurrent_wrong_passwords_are_verified() {
    let stack = Stack::start().await;
    let network_a = stack.client.from_address(NETWORK_A);
    let attempts = concurrently(50, |_| {
        let network_a = network_a.clone();
        async move { wrong_password(&network_a, ADA).await }
    });
    let counts = count(&attempts.await);
    assert_eq!((counts[&401], counts.values().sum::<usize>()), (5, 50), "{counts:?}");
    // 503: the request waited too long for a Postgres connection.
    assert!(counts.keys().all(|status| [401, 429, 503].contains(status)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_correct_passwords_leave_no_failures() {
    // On a slow machine, sixty real hashes would take longer than an attempt may be pending, and than the code is valid.
    let cheap = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1"), ("CODE_TTL_SECONDS", "600")];
    let stack = Stack::start_with(&cheap).await;
    let (_, code) = stack.sign_up(ADA).await;
    let client = stack.client.clone();
    concurrently(60, |_| {
        let client = client.clone();
        async move { client.resend(ADA).await }
    })
    .await;
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
    assert_eq!(wrong_password(&stack.client, ADA).await.status, 401);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

/// Otherwise an attacker who knows a user's idempotency key could try passwords without limit.
#[tokio::test(flavor = "multi_thread")]
async fn idempotent_repeats_with_other_passwords_count_as_failures() {
    let stack = Stack::start().await;
    let network_a = stack.client.from_address(NETWORK_A);
    assert_eq!(network_a.register_with_key("her key", ADA, PASSWORD).await.problem().1, "malformed-request");
    assert_eq!(network_a.register_with_key("her-key", ADA, PASSWORD).await.status, 202);
    for n in 0..5 {
        let repeated = network_a.register_with_key("her-key", ADA, &format!("guess number {n}")).await;
        assert_eq!(repeated.problem(), (409, "idempotency-mismatch".into()));
    }
    assert_eq!(status_and_scope(&network_a.register_with_key("her-key", ADA, PASSWORD).await), (429, json!("account")));
    let network_b = stack.client.from_address(NETWORK_B);
    for _ in 0..9 {
        assert_eq!(
            network_b.register_with_key("her-key", ADA, PASSWORD).await.status,
            202,
            "the correct password does not count"
        );
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 1);
}

/// An attacker cannot register the victim's email address with a password of his own and give it to reset the failure
/// count.
#[tokio::test(flavor = "multi_thread")]
async fn password_of_an_own_registration_resets_no_failures() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let network_a = stack.client.from_address(NETWORK_A);
    assert_eq!(network_a.register_with(ADA, "the attacker's own").await.status, 202);
    for _ in 0..4 {
        assert_eq!(wrong_password(&network_a, ADA).await.status, 401);
    }
    let own = network_a.activate_with(ADA, "the attacker's own", &json!({ "code": "0000" })).await;
    assert_eq!(own.problem().1, "wrong-code");
    assert_eq!(wrong_password(&network_a, ADA).await.status, 401);
    assert_eq!(status_and_scope(&wrong_password(&network_a, ADA).await), (429, json!("account")));
}

/// I-22: a network from which the account was activated is known to it.
#[tokio::test(flavor = "multi_thread")]
async fn known_network_is_exempt_from_account_wide_lockout() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let known = stack.client.from_address(NETWORK_A);
    assert_eq!(known.activate(ADA, &code).await.status, 200);
    for _ in 0..50 {
        assert_eq!(wrong_password(&stack.client, ADA).await.status, 401);
    }
    assert_eq!(status_and_scope(&stack.client.activate(ADA, &code).await), (429, json!("account")));
    assert_eq!(known.activate(ADA, &code).await.problem(), (409, "already-active".into()));
}

/// Password spraying: one password tried at many email addresses locks none of them, so the network has a limit of its
/// own. Accounts that know the network, and correct passwords afterwards, are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn password_spraying_network_is_limited() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    let bob = "bob@example.com";
    let network_a = stack.client.from_address(NETWORK_A);
    stack.create_account(ADA).await;
    let (_, code) = stack.sign_up(bob).await;
    assert_eq!(network_a.activate(bob, &code).await.status, 200);
    for batch in 0..5 {
        let attempts = concurrently_with_retry(20, |n| {
            let (network_a, email) = (network_a.clone(), format!("u{batch}-{n}@example.com"));
            async move { wrong_password(&network_a, &email).await }
        });
        assert_eq!(count(&attempts.await), [(401, 20)].into());
    }
    assert_eq!(status_and_scope(&network_a.login(ADA, PASSWORD).await), (429, json!("network")));
    assert_eq!(network_a.login(bob, PASSWORD).await.status, 200);
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    stack.database.age(900).await;
    for _ in 0..3 {
        assert_eq!(network_a.login(ADA, PASSWORD).await.status, 200);
    }
    let recent = "SELECT count(*) FROM budgets WHERE kind = 'wrong-passwords-from' \
        AND used_at[cardinality(used_at)] > clock_timestamp() - interval '15 minutes'";
    assert_eq!(stack.database.count(recent).await, 0, "a correct password does not count");
}

/// An attacker who disconnects before the responses gets no further with that: the attempts count for the email address and
/// for the network.
#[tokio::test(flavor = "multi_thread")]
async fn aborted_attempts_count_like_wrong_passwords() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    stack.create_account(ADA).await;
    let network_a = stack.client.from_address(NETWORK_A);
    for batch in 0..7 {
        let attempts = concurrently_with_retry(14, |n| {
            let (network_a, email) = (network_a.clone(), format!("u{batch}-{n}@example.com"));
            async move { wrong_password(&network_a, &email).await }
        });
        assert_eq!(count(&attempts.await), [(401, 14)].into());
    }
    // Its hashes take so long that requests are aborted before.
    let slow = stack.start_api(&[("ARGON2_MEMORY_KIB", "19456"), ("ARGON2_PASSES", "64")]).await;
    let slow_network_a = slow.client.from_address(NETWORK_A);
    let pending = "SELECT coalesce(max(cardinality(pending)), 0)::bigint FROM lockouts";
    for n in 1..=2 {
        let client = slow_network_a.clone();
        let request = tokio::spawn(async move { wrong_password(&client, "bob@example.com").await });
        stack.database.wait_for_count(pending, 1).await;
        request.abort();
        stack.database.wait_for_count(pending, 0).await;
        let failures = "SELECT coalesce(max(cardinality(failures)), 0)::bigint FROM lockouts";
        assert_eq!(stack.database.count(failures).await, n);
    }
    assert_eq!(status_and_scope(&network_a.login(ADA, PASSWORD).await), (429, json!("network")));
}

/// Attempts that wait because too many others are pending have given their places in the hash queue back.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_attempts_hold_no_place_in_hash_queue() {
    let stack = Stack::without_broker().await;
    // A network has room for a few of these hashes.
    let slow = [("HASH_THREADS", "1"), ("ARGON2_PASSES", "48"), ("HASH_QUEUE_MS", "3000")];
    let api = stack.start_api(&slow).await;
    // They wait for three seconds, and so does a machine that stalls.
    for n in 1..=3 {
        if is_admitted_while_others_wait(&stack, &api.client.from_address(&format!("198.51.100.{n}")), n).await {
            return;
        }
    }
    panic!("no log-in was admitted while others waited");
}

/// Sends log-ins that have to wait until the places of their network are full. Returns whether there is room for another
/// log-in of the network while they still wait. `n` makes the addresses unique.
async fn is_admitted_while_others_wait(stack: &Stack, client: &Client, n: u8) -> bool {
    const REQUESTS: usize = 12;
    // One address is locked, so a log-in is rejected without a hash, if there is a place in the queue. Of the other one,
    // the network would be locked if four more attempts failed.
    let (locked, busy) = (format!("locked{n}@example.com"), format!("busy{n}@example.com"));
    for (email, state) in [
        (&locked, "until = clock_timestamp() + interval '1 h'"),
        (&busy, "pending = array_fill(clock_timestamp() + interval '1 h', ARRAY[4])"),
    ] {
        assert_eq!(client.login(email, PASSWORD).await.status, 401);
        stack.database.execute(&format!("UPDATE lockouts SET {state} WHERE until IS NULL"), &[]).await;
    }
    // No request can read that before all have their places.
    let database = stack.database.client();
    database.batch_execute("BEGIN; LOCK TABLE lockouts IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (client, busy) = (client.clone(), busy.clone());
            tokio::spawn(async move { client.login(&busy, PASSWORD).await })
        })
        .collect();
    let blocked = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database \
        WHERE NOT granted AND datname = current_database()";
    loop {
        let rejected = requests.iter().filter(|request| request.is_finished()).count();
        if usize::try_from(stack.database.count(blocked).await).unwrap() + rejected >= REQUESTS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let is_full = client.login(&locked, PASSWORD).await.status == 503;
    database.batch_execute("COMMIT").await.unwrap();
    while client.login(&locked, PASSWORD).await.status == 503 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stack.database.execute("UPDATE lockouts SET pending = '{}'", &[]).await;
    let answers = join_all(requests).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    is_full && count(&answers).contains_key(&401)
}
