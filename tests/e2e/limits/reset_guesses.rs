//! Guesses at codes that change a password: who may give them, how many, and what they cost.

use serde_json::json;

use crate::limits::{
    code_guesses::other_than,
    network_limits::{HERE, THERE, scope},
};
use support::{
    client::{PASSWORD, at_once, at_once_or_again, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
/// There are two rows where an hour ended meanwhile.
const BY_EVERYBODY: &str = "SELECT sum(wrong)::bigint FROM guesses_by_hour WHERE length = 8";

#[tokio::test(flavor = "multi_thread")]
async fn the_third_wrong_code_for_a_password_kills_even_the_right_one() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
    let (receipt, code) = stack.forgotten(ADA, 3).await;
    for left in [2, 1, 0] {
        let answer = stack.client.reset(&receipt, &other_than(&code)).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        assert_eq!(answer.json()["attempts_left"], left);
    }
    assert_eq!(stack.client.reset(&receipt, &code).await.problem(), (410, "code-exhausted".into()));
    let read = stack.client.reset_receipt(&receipt).await;
    assert_eq!((&read["status"], &read["attempts_left"]), (&json!("expired"), &json!(0)));
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
}

/// I-08.
#[tokio::test(flavor = "multi_thread")]
async fn s_02_of_two_hundred_wrong_codes_for_a_password_at_once_three_are_looked_at() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    stack.account(ADA).await;
    let (receipt, code) = stack.forgotten(ADA, 3).await;
    let answers = at_once(200, |n| {
        let client = if n % 2 == 0 { &stack.client } else { &other.client }.clone();
        let (receipt, wrong) = (receipt.clone(), other_than(&code));
        async move { client.reset(&receipt, &wrong).await }
    });
    let counts = count(&answers.await);
    assert_eq!((counts[&422], counts.values().sum::<usize>()), (3, 200), "{counts:?}");
    // On a busy machine some may be told to come back later.
    assert!(counts.keys().all(|status| [422, 410, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT wrong::bigint FROM guesses").await, 3);
    assert_eq!(stack.database.count(BY_EVERYBODY).await, 3);
}

/// A code belongs to its receipt, which no mail holds: strangers can neither use it, nor burn its tries, nor end it.
#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_ask_for_neither_helps_them_nor_hurts_the_owner() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
    let (owners, code) = stack.forgotten(ADA, 3).await;
    let (strangers, other) = stack.forgotten(ADA, 4).await;
    assert_ne!(code, other);
    for _ in 0..3 {
        assert_eq!(stack.client.reset(&strangers, &code).await.problem(), (422, "wrong-code".into()));
    }
    assert_eq!(stack.client.reset_receipt(&owners).await["attempts_left"], 3);
    let message = stack.mail_server.nth_mail_to(ADA, 3).await.message_id;
    let message = message.trim_start_matches('<').split('@').next().unwrap().to_owned();
    assert_eq!(stack.client.reset(&message, &code).await.problem(), (404, "not-found".into()), "it is no receipt");
    assert_eq!(stack.client.reset(&owners, &other).await.problem(), (422, "wrong-code".into()));
    assert_eq!(stack.client.reset(&owners, &code).await.status, 204);
    let wrong = "SELECT wrong::bigint FROM guesses";
    assert_eq!(stack.database.count(wrong).await, 4, "the right one was none; the others stay on record");
    assert_eq!(stack.database.count(BY_EVERYBODY).await, 4);
}

/// Another code in the same mailbox opens nothing after the first was used; and the receipt of whoever asked for it, who
/// may be anybody, does not tell that there is an account.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_other_codes_and_no_receipt_tells() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
    let (older, older_code) = stack.forgotten(ADA, 3).await;
    let (newer, newer_code) = stack.forgotten(ADA, 4).await;
    assert_eq!(stack.client.reset(&newer, &newer_code).await.status, 204);
    let read = stack.client.reset_receipt(&older).await;
    assert_eq!((&read["status"], &read["attempts_left"]), (&json!("sent"), &json!(3)));
    let answer = stack.client.reset_to(&older, &older_code, "a third horse battery").await;
    assert_eq!((answer.problem(), answer.json()["attempts_left"].clone()), ((422, "wrong-code".into()), json!(2)));
    assert_eq!(stack.client.login(ADA, "a third horse battery").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_wrong_guesses_make_the_next_codes_longer_and_end_none() {
    let stack = Stack::start_with(&[("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")]).await;
    stack.account(ADA).await;
    let (owners, owners_code) = stack.forgotten(ADA, 3).await;
    for n in 4..=6 {
        let (receipt, code) = stack.forgotten(ADA, n).await;
        assert_eq!(code.len(), 8, "mail {n}");
        for _ in 0..3 {
            assert_eq!(stack.client.reset(&receipt, &other_than(&code)).await.problem().0, 422);
        }
    }
    let (receipt, code) = stack.forgotten(ADA, 7).await;
    assert_eq!((code.len(), &stack.client.reset_receipt(&receipt).await["code_length"]), (10, &json!(10)));
    assert_eq!(stack.client.reset(&owners, &owners_code).await.status, 204, "the owner's is as good as it was");
    stack.mail_server.nth_mail_to(ADA, 8).await;
    assert_eq!(stack.forgotten(ADA, 9).await.1.len(), 10, "a success forgives nothing but itself");
    // Registrations have a record of their own, and other addresses too.
    let answer = stack.client.register_with(ADA, "a stranger's password").await;
    assert_eq!(answer.json()["code_length"], 4);
    assert_eq!(stack.client.forgot("bob@example.com").await.json()["code_length"], 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_everybody_guesses_at_passwords_everybody_gets_longer_codes() {
    let stack = Stack::without_broker().await;
    let client = stack.start_api(&[]).await.client;
    let spend =
        "INSERT INTO guesses_by_hour (hour, length, wrong) VALUES (date_trunc('hour', clock_timestamp()), 8, 1999)";
    stack.database.execute(spend, &[]).await;
    assert_eq!(client.forgot(ADA).await.json()["code_length"], 8);
    stack.database.execute("UPDATE guesses_by_hour SET wrong = 2000", &[]).await;
    assert_eq!(client.forgot(ADA).await.json()["code_length"], 10);
    stack.database.age(26 * 3_600).await;
    assert_eq!(client.forgot(ADA).await.json()["code_length"], 8);
}

/// I-09, S-16: mails to an address are bounded together, whatever they are about.
#[tokio::test(flavor = "multi_thread")]
async fn resets_and_registrations_share_what_an_address_and_a_network_may_have() {
    let stack = Stack::without_broker().await;
    let client = stack.start_api(&[]).await.client;
    let (here, there) = (client.at(HERE), client.at(THERE));
    assert_eq!(here.register(ADA).await.status, 202);
    assert_eq!([here.forgot(ADA).await.status, here.forgot(ADA).await.status], [202, 202]);
    assert_eq!(scope(&here.forgot(ADA).await), (429, json!("network")));
    assert_eq!(scope(&here.register(ADA).await), (429, json!("network")));
    assert_eq!([there.forgot(ADA).await.status, there.register(ADA).await.status], [202, 202]);
    let refused = there.forgot(ADA).await;
    assert_eq!(scope(&refused), (429, json!("address")));
    assert!((3_500..=3_600).contains(&refused.header("retry-after").parse::<i64>().unwrap()), "{refused:?}");
    assert_eq!(stack.database.count("SELECT count(*) FROM resets").await, 3);

    let strict = stack.start_api(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "3")]).await.client.at("192.0.2.77");
    for n in 0..3 {
        assert_eq!(strict.forgot(&format!("u{n}@example.com")).await.status, 202);
    }
    assert_eq!(scope(&strict.forgot("u3@example.com").await), (429, json!("network")));
    assert_eq!(scope(&strict.register("u4@example.com").await), (429, json!("network")));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_requests_at_once_an_address_has_its_five_codes() {
    let stack = Stack::without_broker().await;
    let (one, other) = (stack.start_api(&[]).await, stack.start_api(&[]).await);
    let answers = at_once_or_again(20, |n| {
        let client = if n % 2 == 0 { &one.client } else { &other.client }.clone();
        async move { client.forgot(ADA).await }
    });
    assert_eq!(count(&answers.await), [(202, 5), (429, 15)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_guessed_wrong_too_often_guesses_at_no_password_either() {
    let stack = Stack::start_with(&[("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")]).await;
    let here = stack.client.at(HERE);
    stack.account(ADA).await;
    for n in 3..=5 {
        let (receipt, code) = stack.forgotten(ADA, n).await;
        for _ in 0..3 {
            assert_eq!(here.reset(&receipt, &other_than(&code)).await.problem().0, 422);
        }
    }
    let (receipt, code) = stack.forgotten(ADA, 6).await;
    assert_eq!(here.reset(&receipt, &other_than(&code)).await.problem().0, 422, "the tenth");
    assert_eq!(scope(&here.reset(&receipt, &code).await), (429, json!("network")));
    assert_eq!(stack.client.reset_receipt(&receipt).await["attempts_left"], 2, "no try was taken");
    assert_eq!(stack.client.at(THERE).reset(&receipt, &code).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_says_what_a_guess_at_a_password_comes_to() {
    let stack = Stack::without_broker().await;
    let policy = stack.start_api(&[]).await.client.get("/v1/policy").await.json();
    let reset = &policy["reset"];
    assert_eq!(
        (&reset["lengths"], &reset["attempts"], &reset["longer_after"]),
        (&json!([8, 10]), &json!(3), &json!(9))
    );
    assert_eq!((&reset["lifetime"], &reset["longest_lifetime"]), (&json!(600), &json!(1_200)));
    assert_eq!(reset["by_everybody"], json!({ "length": 8, "limit": 2_000 }));
    // 9 guesses and the 3 tries of 5 codes at 8 digits, and 3 at each of ten codes a day of 10 digits for a year.
    let expected = 24e-8 + 3.0 * 3_650.0 * 1e-10;
    let bound = reset["guess_bound"]["one_address_one_year"].as_f64().unwrap();
    assert!((bound - expected).abs() < 1e-15, "{bound}");
    let other = stack.start_api(&[("RESET_TTL_SECONDS", "60"), ("CODE_LENGTH", "10")]).await;
    let reset = other.client.get("/v1/policy").await.json()["reset"].take();
    assert_eq!((&reset["lengths"], &reset["lifetime"]), (&json!([10]), &json!(60)));
}
