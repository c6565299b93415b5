//! When expired rows are deleted: not before their retention time ends, and never while a rule still needs them.

use serde_json::json;

use super::{ADA, CLEANING, COUNT_DELIVERIES, cleanup_finished};
use crate::limits::code_guesses::different_code;
use support::{
    client::{Answer, Client, PASSWORD, send},
    stack::Stack,
};

const DAY: i32 = 86_400;

/// How long before the end of a retention time the tests look: longer than a test takes to get there.
const MARGIN: i32 = 120;

async fn receipt(client: &Client, registration: &str) -> Answer {
    client.get(&format!("/v1/registrations/{registration}")).await
}

/// Lets time pass until just before the retention time ends, and waits for a cleanup.
async fn pass_almost(stack: &Stack, seconds: i32) {
    stack.database.age(seconds - MARGIN).await;
    cleanup_finished(&stack.database).await;
}

/// Lets the rest of the time pass, and waits for a cleanup.
async fn pass_margin(stack: &Stack) {
    stack.database.age(MARGIN).await;
    cleanup_finished(&stack.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_registration_is_deleted_after_a_week() {
    let stack = Stack::start_with(&[CLEANING, ("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (registration, _) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    pass_almost(&stack, 8 * DAY).await;
    assert_eq!(receipt(&stack.client, &registration).await.json()["status"], "closed");
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 2);
    pass_margin(&stack).await;
    assert_eq!(receipt(&stack.client, &registration).await.problem(), (404, "not-found".into()));
    let left = "SELECT (SELECT count(*) FROM registrations) + (SELECT count(*) FROM codes)";
    assert_eq!(stack.database.count(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn activated_registration_is_deleted_as_configured_account_stays() {
    let stack = Stack::start_with(&[CLEANING, ("RETAIN_REGISTRATIONS_SECONDS", "86400")]).await;
    let answer = stack.client.register_with_key("a-key", ADA, PASSWORD).await;
    let registration = answer.registration();
    let code = stack.mail_server.mail_to(ADA).await.code();
    stack.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    pass_almost(&stack, DAY).await;
    assert_eq!(stack.client.register_with_key("a-key", ADA, PASSWORD).await.registration(), registration);
    assert_eq!(receipt(&stack.client, &registration).await.json()["status"], "activated");
    pass_margin(&stack).await;
    assert_eq!(receipt(&stack.client, &registration).await.status, 404);
    assert_eq!(stack.client.resend(ADA).await.problem(), (409, "already-active".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_records_are_deleted_after_a_month() {
    let stack = Stack::start_with(&[CLEANING]).await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.database.wait_for_count(COUNT_DELIVERIES, 2).await;
    pass_almost(&stack, 30 * DAY).await;
    assert_eq!(stack.database.count(COUNT_DELIVERIES).await, 2);
    pass_margin(&stack).await;
    assert_eq!(stack.database.count(COUNT_DELIVERIES).await, 0);
    assert_eq!(stack.database.count("SELECT count(*) FROM budgets").await, 0);
    // The network is known to the account for longer.
    let known_networks = "SELECT count(*) FROM known_networks";
    pass_almost(&stack, 60 * DAY).await;
    assert_eq!(stack.database.count(known_networks).await, 1);
    pass_margin(&stack).await;
    assert_eq!(stack.database.count(known_networks).await, 0);
}

/// I-09: once the codes of a day are used up, none is sent until the day has passed.
#[tokio::test(flavor = "multi_thread")]
async fn daily_code_budget_is_kept_for_a_day() {
    let stack = Stack::start_with(&[CLEANING, ("CODES_PER_DAY", "2")]).await;
    let register = |network| {
        let client = stack.client.from_address(network);
        async move { client.register(ADA).await.status }
    };
    assert_eq!([register("192.0.2.1").await, register("192.0.2.2").await], [202, 202]);
    pass_almost(&stack, DAY).await;
    assert_eq!(register("192.0.2.3").await, 429);
    pass_margin(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM budgets").await, 0);
    assert_eq!(register("192.0.2.3").await, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn lockouts_grow_until_a_day_without_failures() {
    let stack = Stack::start_with(&[CLEANING]).await;
    let client = stack.client.from_address("192.0.2.1");
    // Sends five wrong passwords, and returns for how many minutes the client is locked out.
    let lockout_minutes = async || {
        for _ in 0..5 {
            let wrong = client.activate_with(ADA, "not her password", &json!({ "code": "0000" })).await;
            assert_eq!(wrong.problem().0, 401, "{wrong:?}");
        }
        let answer = client.activate(ADA, "0000").await;
        assert_eq!(answer.problem().0, 429);
        (answer.header("retry-after").parse::<i32>().unwrap() + 59) / 60
    };
    assert_eq!(lockout_minutes().await, 15);
    pass_almost(&stack, 15 * 60 + DAY).await;
    assert_eq!(lockout_minutes().await, 30);
    // A failure after the last lockout keeps the count, as the lockout itself does.
    stack.database.age(40 * 60).await;
    assert_eq!(client.activate(ADA, "0000").await.problem().0, 401);
    pass_almost(&stack, DAY).await;
    assert_eq!(lockout_minutes().await, 60);
    stack.database.age(60 * 60 + DAY).await;
    cleanup_finished(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
    assert_eq!(lockout_minutes().await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_are_counted_for_a_year() {
    let stack = Stack::start_with(&[CLEANING, ("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")]).await;
    for nth in 1..=3 {
        let password = format!("a stranger's password {nth}");
        let registration = stack.client.register_with(ADA, &password).await.registration();
        let code = stack.mail_server.nth_mail_to(ADA, nth).await.code();
        stack.client.wait_for_receipt(&registration, "sent").await;
        for _ in 0..3 {
            let guess = json!({ "code": different_code(&code) });
            assert_eq!(stack.client.activate_with(ADA, &password, &guess).await.problem().0, 422);
        }
    }
    // Those of networks and of the instance are counted for a day.
    let attempts = "SELECT count(*) FROM code_attempts";
    pass_almost(&stack, DAY).await;
    assert_eq!(stack.database.count(attempts).await, 9);
    pass_margin(&stack).await;
    assert_eq!(stack.database.count(attempts).await, 0);
    pass_almost(&stack, 364 * DAY).await;
    assert_eq!(stack.client.register(ADA).await.json()["code_length"], 6);
    pass_margin(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM guesses").await, 0);
    assert_eq!(stack.client.register(ADA).await.json()["code_length"], 4);
}

/// Otherwise every API would look for it among the settled ones once a second, for a day.
#[tokio::test(flavor = "multi_thread")]
async fn guess_of_a_failed_process_becomes_wrong() {
    let stack = Stack::start_with(&[CLEANING]).await;
    crate::limits::guess_shares::insert_wrong_guesses(&stack.database, 4, 2).await;
    let one = "ctid = (SELECT ctid FROM code_attempts LIMIT 1)";
    let unsettle = format!(
        "UPDATE code_attempts SET wrong = false, at = at - CASE WHEN {one} THEN interval '31 s' ELSE '0 s' END"
    );
    stack.database.execute(&unsettle, &[]).await;
    stack.database.wait_for_count("SELECT count(*) FROM code_attempts WHERE wrong", 1).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM code_attempts WHERE NOT wrong").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn activations_are_counted_for_a_day() {
    let stack = Stack::start_with(&[CLEANING]).await;
    stack.sign_up_and_activate(ADA).await;
    // Of the network, and of the instance. They are counted by the full hour, which began up to an hour before.
    let hours = "SELECT count(*) FROM activations_by_hour";
    stack.database.wait_for_count(hours, 2).await;
    pass_almost(&stack, DAY - 3_600 - MARGIN).await;
    assert_eq!(stack.database.count(hours).await, 2);
    stack.database.age(3_600 + 2 * MARGIN).await;
    cleanup_finished(&stack.database).await;
    assert_eq!(stack.database.count(hours).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_session_is_deleted() {
    let stack = Stack::start_with(&[CLEANING]).await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.client.token(ADA).await;
    pass_almost(&stack, DAY).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM sessions").await, 1);
    pass_margin(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM sessions").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_and_warnings_are_deleted_after_a_week() {
    let stack = Stack::start_with(&[CLEANING]).await;
    stack.sign_up_and_activate(ADA).await;
    let token = stack.client.token(ADA).await;
    let passwords = json!({ "password": PASSWORD, "new_password": "another password" });
    let change = stack.client.request("POST", "/v1/users/me/password").bearer_auth(&token).json(&passwords);
    assert_eq!(send(change).await.status, 204);
    let forgot = stack.client.request("POST", "/v1/users/password/forgot").json(&json!({ "email": ADA }));
    let receipt = send(forgot).await.json()["receipt"].as_str().unwrap().to_owned();
    stack.mail_server.nth_mail_to(ADA, 4).await;
    // The week of a reset begins after its code has expired: ten minutes to send the mail, and ten to use the code.
    pass_almost(&stack, 7 * DAY).await;
    let left = "SELECT (SELECT count(*) FROM resets) + (SELECT count(*) FROM password_changes)";
    assert_eq!(stack.database.count(left).await, 2);
    stack.database.age(MARGIN).await;
    cleanup_finished(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 0);
    stack.database.age(20 * 60).await;
    cleanup_finished(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM resets").await, 0);
    assert_eq!(stack.client.get(&format!("/v1/users/password/forgot/{receipt}")).await.status, 404);
}
