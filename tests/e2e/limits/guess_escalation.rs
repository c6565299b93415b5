//! Guess escalation: wrong codes are counted by email address, and make its later codes longer.

use serde_json::{Value, json};

use crate::limits::{code_guesses::different_code, guess_shares::insert_wrong_guesses};
use support::{
    client::{Client, PASSWORD, concurrently},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// Registers with a password, and returns the registration and its code once it is mailed.
async fn sign_up_with(stack: &Stack, password: &str, nth: usize) -> (String, String) {
    let answer = stack.client.register_with(ADA, password).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let mail = stack.mail_server.nth_mail_to(ADA, nth).await;
    stack.client.wait_for_receipt(&answer.registration(), "sent").await;
    (answer.registration(), mail.code())
}

/// Gives a wrong code so often, and returns `attempts_left` of the last answer.
async fn give_wrong_codes(client: &Client, password: &str, code: &str, times: usize) -> Value {
    let mut left = Value::Null;
    for _ in 0..times {
        let answer = client.activate_with(ADA, password, &json!({ "code": different_code(code) })).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        left = answer.json()["attempts_left"].clone();
    }
    left
}

/// I-09: counts over new codes, new registrations, other APIs and a restart. After 9 wrong guesses new codes have 6
/// digits, after 9 more 8; a shorter code that exists expires; a successful activation resets the count.
#[tokio::test(flavor = "multi_thread")]
async fn every_nine_wrong_guesses_lengthen_the_codes() {
    let stack = Stack::start_with(&[("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")]).await;
    let (owners, owners_code) = sign_up_with(&stack, PASSWORD, 1).await;
    for (n, expected) in [(2, 4), (3, 4), (4, 4), (5, 6), (6, 6), (7, 6), (8, 8)] {
        let password = format!("an attacker's password {n}");
        let api = stack.start_api(&[]).await;
        let (registration, code) = sign_up_with(&stack, &password, n).await;
        assert_eq!(api.client.receipt(&registration).await["code_length"], expected, "code {n}");
        assert_eq!(code.len(), expected);
        give_wrong_codes(&api.client, &password, &code, 3).await;
        api.stop().await.unwrap();
    }
    // The owner's first code has expired like the attackers' short ones, and her next one is long.
    assert_eq!(stack.client.receipt(&owners).await["status"], "expired");
    assert_eq!(stack.client.activate(ADA, &owners_code).await.problem(), (410, "code-expired".into()));
    let (_, code) = sign_up_with(&stack, PASSWORD, 9).await;
    assert_eq!((code.len(), stack.client.activate(ADA, &code).await.status), (8, 200));
    assert_eq!(stack.database.count("SELECT count(*) FROM guesses").await, 0, "a success resets the count");
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_wrong_guesses_close_only_the_registration() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (registration, mut code) = stack.sign_up(ADA).await;
    for nth in 2..=4 {
        give_wrong_codes(&stack.client, PASSWORD, &code, 3).await;
        if nth < 4 {
            assert_eq!(stack.client.resend(ADA).await.status, 202);
            code = stack.mail_server.nth_mail_to(ADA, nth).await.code();
            stack.client.wait_for_receipt(&registration, "sent").await;
        }
    }
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (410, "registration-closed".into()));
    assert_eq!(stack.client.resend(ADA).await.problem(), (410, "registration-closed".into()));
    let (_, code) = sign_up_with(&stack, "another password", 4).await;
    let answer = stack.client.activate_with(ADA, "another password", &json!({ "code": code })).await;
    assert_eq!((code.len(), answer.status), (6, 200));
}

/// I-08: a guess without a registration id is compared with, and counts for, each open registration of the password;
/// the email address gets nine comparisons in all.
#[tokio::test(flavor = "multi_thread")]
async fn guess_counts_for_each_registration_up_to_nine() {
    let stack = Stack::start().await;
    for nth in 1..=4 {
        sign_up_with(&stack, PASSWORD, nth).await;
    }
    let wrong = different_code("9999");
    let client = stack.client.clone();
    concurrently(40, |_| {
        let (client, wrong) = (client.clone(), wrong.clone());
        async move { client.activate(ADA, &wrong).await }
    })
    .await;
    // The guess can happen to be one of the four random codes: then it activates, and there is nothing to check.
    if stack.database.count("SELECT count(*) FROM users").await == 0 {
        assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 9);
        assert_eq!(stack.database.count("SELECT wrong::bigint FROM guesses").await, 9);
    }
}

/// More than 20 wrong guesses at 4 digits over all email addresses (2,000 at 6) within a day lengthen everyone's codes.
#[tokio::test(flavor = "multi_thread")]
async fn instance_wide_guesses_lengthen_all_codes() {
    let stack = Stack::start().await;
    let (_, short) = stack.sign_up(ADA).await;
    let bob = "bob@example.com";
    let (_, code) = stack.sign_up(bob).await;
    insert_wrong_guesses(&stack.database, 4, 20).await;
    // An API uses cached totals for a moment, a new one has none.
    let new_length =
        async |email| stack.start_api(&[]).await.client.register(email).await.json()["code_length"].as_u64().unwrap();
    assert_eq!(new_length("dan@example.com").await, 4);
    // The totals that a guess is counted with are never cached: this is the 21st wrong one, and the next is rejected.
    assert_eq!(stack.client.activate(bob, &different_code(&code)).await.problem().0, 422);
    assert_eq!(stack.client.activate(ADA, &short).await.problem(), (410, "code-expired".into()));
    assert_eq!(new_length("eve@example.com").await, 6);
    insert_wrong_guesses(&stack.database, 6, 2_000).await;
    assert_eq!(new_length("fay@example.com").await, 6);
    insert_wrong_guesses(&stack.database, 6, 1).await;
    assert_eq!(new_length("gil@example.com").await, 8);
    stack.database.age(86_400).await;
    assert_eq!(new_length("hal@example.com").await, 4);
}

/// `CODE_ESCALATION=off`: instead of longer codes, a limit of 15 wrong guesses at the email address, for a year.
#[tokio::test(flavor = "multi_thread")]
async fn without_escalation_fifteen_wrong_guesses_block_the_address() {
    let settings = [("CODE_ESCALATION", "off"), ("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")];
    let stack = Stack::start_with(&settings).await;
    for nth in 1..=5 {
        let password = format!("an attacker's password {nth}");
        let (_, code) = sign_up_with(&stack, &password, nth).await;
        assert_eq!(code.len(), 4);
        give_wrong_codes(&stack.client, &password, &code, 3).await;
    }
    let (_, code) = sign_up_with(&stack, PASSWORD, 6).await;
    let answer = stack.client.activate(ADA, &code).await;
    assert_eq!(
        (answer.problem(), answer.json()["scope"].clone()),
        ((429, "too-many-requests".into()), json!("address"))
    );
    stack.database.execute("UPDATE guesses SET last_at = last_at - interval '365 days'", &[]).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_reports_code_lengths_and_guess_bound() {
    let stack = Stack::without_broker().await;
    let policy = stack.start_api(&[]).await.client.get("/v1/policy").await.json();
    assert_eq!(policy["code"]["lengths"], json!([4, 6, 8]));
    assert_eq!(
        policy["code"]["per_address_and_network"],
        json!([{ "limit": 3, "seconds": 3600 }, { "limit": 5, "seconds": 86400 }])
    );
    assert_eq!(
        policy["wrong_codes"]["by_everybody"],
        json!([{ "length": 4, "limit": 20 }, { "length": 6, "limit": 2000 }])
    );
    let wrong_codes = &policy["wrong_codes"];
    assert_eq!((&wrong_codes["by_everybody_percent"], &wrong_codes["activations_of_network"]), (&json!(6), &json!(30)));
    assert_eq!(
        (&wrong_codes["per_network"], &wrong_codes["per_network_percent"]),
        (&json!([{ "limit": 10, "seconds": 600 }, { "limit": 30, "seconds": 86400 }]), &json!(10))
    );
    // 9 guesses at 4 digits, 9 at 6, and 3 at each of ten codes a day of 8 digits for a year.
    let expected = 9e-4 + 9e-6 + 3.0 * 3_650.0 * 1e-8;
    for bound in [&policy["guess_bound"]["one_address_one_year"], &policy["bounds"]["address_per_year"]] {
        assert!((bound.as_f64().unwrap() - expected).abs() < 1e-12, "{bound}");
    }
    // 21 guesses a day at 4 digits and 2,001 at 6.
    let of_instance = policy["bounds"]["instance_per_year"].as_f64().unwrap();
    assert!((of_instance - 365.0 * (21e-4 + 2_001e-6)).abs() < 1e-12, "{of_instance}");
    assert!((policy["bounds"]["instance_per_activation"].as_f64().unwrap() - 6e-6).abs() < 1e-18);
    let strict = stack
        .start_api(&[("CODE_ESCALATION", "off"), ("CODE_LENGTH", "6"), ("WRONG_CODES_PER_NETWORK_PER_DAY", "0")])
        .await;
    let policy = strict.client.get("/v1/policy").await.json();
    assert_eq!((policy["bounds"].get("instance_per_year"), policy["wrong_codes"].get("per_network")), (None, None));
    assert_eq!((&policy["code"]["lengths"], &policy["wrong_codes"]["per_address"]), (&json!([6]), &json!(15)));
}
