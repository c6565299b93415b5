//! Limits on guesses at reset codes (forgotten passwords).

use serde_json::json;

use crate::limits::{
    code_guesses::different_code,
    guess_shares::insert_wrong_guesses,
    network_limits::{NETWORK_A, NETWORK_B, status_and_scope},
};
use support::{
    client::{PASSWORD, concurrently, concurrently_with_retry, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
/// Wrong guesses at reset codes over all email addresses; right and unsettled ones would be missing or extra.
const INSTANCE_WIDE: &str = "SELECT count(*) FROM code_attempts WHERE length = 8 AND wrong";

#[tokio::test(flavor = "multi_thread")]
async fn third_wrong_reset_code_exhausts_the_code() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    for left in [2, 1, 0] {
        let answer = stack.client.reset(&receipt, &different_code(&code)).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        assert_eq!(answer.json()["attempts_left"], left);
    }
    assert_eq!(stack.client.reset(&receipt, &code).await.problem(), (410, "code-exhausted".into()));
    let read = stack.client.reset_receipt(&receipt).await;
    assert_eq!((&read["status"], &read["attempts_left"]), (&json!("expired"), &json!(0)));
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
}

/// S-02, I-08.
#[tokio::test(flavor = "multi_thread")]
async fn s_02_three_of_200_concurrent_wrong_reset_codes_are_compared() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    stack.create_account(ADA).await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    let answers = concurrently(200, |n| {
        let client = if n % 2 == 0 { &stack.client } else { &other.client }.clone();
        let (receipt, wrong) = (receipt.clone(), different_code(&code));
        async move { client.reset(&receipt, &wrong).await }
    });
    let counts = count(&answers.await);
    assert_eq!((counts[&422], counts.values().sum::<usize>()), (3, 200), "{counts:?}");
    // 503: the machine is busy.
    assert!(counts.keys().all(|status| [422, 410, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT wrong::bigint FROM guesses").await, 3);
    assert_eq!(stack.database.count(INSTANCE_WIDE).await, 3);
}

/// A code is valid with its own receipt only, and no mail contains a receipt: an attacker's requests can neither use
/// the owner's code, nor spend its attempts, nor invalidate it.
#[tokio::test(flavor = "multi_thread")]
async fn attackers_reset_requests_do_not_affect_the_owner() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let (owners, code) = stack.request_reset_code(ADA, 3).await;
    let (attackers, other_code) = stack.request_reset_code(ADA, 4).await;
    assert_ne!(code, other_code);
    for _ in 0..3 {
        assert_eq!(stack.client.reset(&attackers, &code).await.problem(), (422, "wrong-code".into()));
    }
    assert_eq!(stack.client.reset_receipt(&owners).await["attempts_left"], 3);
    let message = stack.mail_server.nth_mail_to(ADA, 3).await.message_id;
    let message = message.trim_start_matches('<').split('@').next().unwrap().to_owned();
    assert_eq!(
        stack.client.reset(&message, &code).await.problem(),
        (404, "not-found".into()),
        "the Message-ID is no receipt"
    );
    assert_eq!(stack.client.reset(&owners, &other_code).await.problem(), (422, "wrong-code".into()));
    assert_eq!(stack.client.reset(&owners, &code).await.status, 204);
    let wrong = "SELECT wrong::bigint FROM guesses";
    assert_eq!(
        stack.database.count(wrong).await,
        4,
        "only the wrong codes are counted, and a success does not reset them"
    );
    assert_eq!(stack.database.count(INSTANCE_WIDE).await, 4);
}

/// After one reset code was used, the other codes in the mailbox are wrong. Their receipts do not change, because an
/// attacker may hold one and would learn that there is an account (I-15).
#[tokio::test(flavor = "multi_thread")]
async fn reset_invalidates_other_codes_but_changes_no_receipt() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let (older, older_code) = stack.request_reset_code(ADA, 3).await;
    let (newer, newer_code) = stack.request_reset_code(ADA, 4).await;
    assert_eq!(stack.client.reset(&newer, &newer_code).await.status, 204);
    let read = stack.client.reset_receipt(&older).await;
    assert_eq!((&read["status"], &read["attempts_left"]), (&json!("sent"), &json!(3)));
    let answer = stack.client.reset_to(&older, &older_code, "a third horse battery").await;
    assert_eq!((answer.problem(), answer.json()["attempts_left"].clone()), ((422, "wrong-code".into()), json!(2)));
    assert_eq!(stack.client.login(ADA, "a third horse battery").await.status, 401);
}

/// Codes that exist stay valid (I-22), and a success resets nothing. Registrations and other email addresses have
/// counts of their own.
#[tokio::test(flavor = "multi_thread")]
async fn nine_wrong_guesses_lengthen_later_reset_codes() {
    let stack = Stack::start_with(&[("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")]).await;
    stack.create_account(ADA).await;
    let (owners, owners_code) = stack.request_reset_code(ADA, 3).await;
    for n in 4..=6 {
        let (receipt, code) = stack.request_reset_code(ADA, n).await;
        assert_eq!(code.len(), 8, "mail {n}");
        for _ in 0..3 {
            assert_eq!(stack.client.reset(&receipt, &different_code(&code)).await.problem().0, 422);
        }
    }
    let (receipt, code) = stack.request_reset_code(ADA, 7).await;
    assert_eq!((code.len(), &stack.client.reset_receipt(&receipt).await["code_length"]), (10, &json!(10)));
    assert_eq!(stack.client.reset(&owners, &owners_code).await.status, 204, "the owner's code stays valid");
    stack.mail_server.nth_mail_to(ADA, 8).await;
    assert_eq!(stack.request_reset_code(ADA, 9).await.1.len(), 10, "a success does not reset the count");
    // Registrations and other email addresses are counted separately.
    let answer = stack.client.register_with(ADA, "an attacker's password").await;
    assert_eq!(answer.json()["code_length"], 4);
    assert_eq!(stack.client.request_reset("bob@example.com").await.json()["code_length"], 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_wide_guesses_lengthen_all_reset_codes() {
    let stack = Stack::without_broker().await;
    // An API uses cached totals for a moment, a new one has none.
    let code_length = async || stack.start_api(&[]).await.client.request_reset(ADA).await.json()["code_length"].take();
    insert_wrong_guesses(&stack.database, 8, 1_999).await;
    assert_eq!(code_length().await, 8);
    insert_wrong_guesses(&stack.database, 8, 1).await;
    assert_eq!(code_length().await, 10);
    stack.database.age(86_400).await;
    assert_eq!(code_length().await, 8);
}

/// I-09, S-16: one budget for an email address (and for a network) covers mails of every kind.
#[tokio::test(flavor = "multi_thread")]
async fn resets_and_registrations_share_one_budget() {
    let stack = Stack::without_broker().await;
    let client = stack.start_api(&[]).await.client;
    let (network_a, network_b) = (client.from_address(NETWORK_A), client.from_address(NETWORK_B));
    assert_eq!(network_a.register(ADA).await.status, 202);
    assert_eq!([network_a.request_reset(ADA).await.status, network_a.request_reset(ADA).await.status], [202, 202]);
    assert_eq!(status_and_scope(&network_a.request_reset(ADA).await), (429, json!("network")));
    assert_eq!(status_and_scope(&network_a.register(ADA).await), (429, json!("network")));
    assert_eq!([network_b.request_reset(ADA).await.status, network_b.register(ADA).await.status], [202, 202]);
    let rejected = network_b.request_reset(ADA).await;
    assert_eq!(status_and_scope(&rejected), (429, json!("address")));
    assert!((3_500..=3_600).contains(&rejected.header("retry-after").parse::<i64>().unwrap()), "{rejected:?}");
    assert_eq!(stack.database.count("SELECT count(*) FROM resets").await, 3);

    let strict =
        stack.start_api(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "3")]).await.client.from_address("192.0.2.77");
    for n in 0..3 {
        assert_eq!(strict.request_reset(&format!("u{n}@example.com")).await.status, 202);
    }
    assert_eq!(status_and_scope(&strict.request_reset("u3@example.com").await), (429, json!("network")));
    assert_eq!(status_and_scope(&strict.register("u4@example.com").await), (429, json!("network")));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_of_twenty_concurrent_reset_requests_are_granted() {
    let stack = Stack::without_broker().await;
    let (first, second) = (stack.start_api(&[]).await, stack.start_api(&[]).await);
    let answers = concurrently_with_retry(20, |n| {
        let client = if n % 2 == 0 { &first.client } else { &second.client }.clone();
        async move { client.request_reset(ADA).await }
    });
    assert_eq!(count(&answers.await), [(202, 5), (429, 15)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_wrong_code_limit_covers_reset_codes() {
    let stack = Stack::start_with(&[("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")]).await;
    let network_a = stack.client.from_address(NETWORK_A);
    stack.create_account(ADA).await;
    for n in 3..=5 {
        let (receipt, code) = stack.request_reset_code(ADA, n).await;
        for _ in 0..3 {
            assert_eq!(network_a.reset(&receipt, &different_code(&code)).await.problem().0, 422);
        }
    }
    let (receipt, code) = stack.request_reset_code(ADA, 6).await;
    assert_eq!(
        network_a.reset(&receipt, &different_code(&code)).await.problem().0,
        422,
        "the tenth wrong code is still compared"
    );
    assert_eq!(status_and_scope(&network_a.reset(&receipt, &code).await), (429, json!("network")));
    assert_eq!(stack.client.reset_receipt(&receipt).await["attempts_left"], 2, "the rejected request costs no attempt");
    assert_eq!(stack.client.from_address(NETWORK_B).reset(&receipt, &code).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_reports_reset_lengths_and_guess_bound() {
    let stack = Stack::without_broker().await;
    let policy = stack.start_api(&[]).await.client.get("/v1/policy").await.json();
    let reset = &policy["reset"];
    assert_eq!(
        (&reset["lengths"], &reset["attempts"], &reset["longer_after"]),
        (&json!([8, 10]), &json!(3), &json!(9))
    );
    assert_eq!((&reset["lifetime"], &reset["longest_lifetime"]), (&json!(600), &json!(1_200)));
    assert_eq!(reset["by_everybody"], json!({ "length": 8, "limit": 2_000 }));
    // 9 guesses and the 3 attempts of 5 + 3 codes at 8 digits, and 3 at each of ten codes a day of 10 digits for a year,
    // and at each of three that a known network has on each of 366 days.
    let expected = 33e-8 + 3.0 * (3_650.0 + 1_098.0) * 1e-10;
    let bound = reset["guess_bound"]["one_address_one_year"].as_f64().unwrap();
    assert!((bound - expected).abs() < 1e-15, "{bound}");
    let other = stack.start_api(&[("RESET_TTL_SECONDS", "60"), ("CODE_LENGTH", "10")]).await;
    let reset = other.client.get("/v1/policy").await.json()["reset"].take();
    assert_eq!((&reset["lengths"], &reset["lifetime"]), (&json!([10]), &json!(60)));
}
