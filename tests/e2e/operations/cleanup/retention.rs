//! When what is over goes: not before its time, and never while a rule still looks at it.

use serde_json::json;

use super::{ADA, CLEANING, RECORDS, cleaned};
use crate::limits::code_guesses::other_than;
use support::{
    client::{Answer, Client, PASSWORD, send},
    stack::Stack,
};

const DAY: i32 = 86_400;

/// Before an edge, and long enough for a test to get there.
const SOON: i32 = 120;

async fn receipt(client: &Client, registration: &str) -> Answer {
    client.get(&format!("/v1/registrations/{registration}")).await
}

/// Lets time pass until just before the edge, and has everything looked at.
async fn almost(stack: &Stack, seconds: i32) {
    stack.database.age(seconds - SOON).await;
    cleaned(&stack.database).await;
}

/// And then until the edge.
async fn and_over(stack: &Stack) {
    stack.database.age(SOON).await;
    cleaned(&stack.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_goes_with_its_hash_and_its_codes_when_it_was_over_for_a_week() {
    let stack = Stack::start_with(&[CLEANING, ("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (registration, _) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    almost(&stack, 8 * DAY).await;
    assert_eq!(receipt(&stack.client, &registration).await.json()["status"], "closed");
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 2);
    and_over(&stack).await;
    assert_eq!(receipt(&stack.client, &registration).await.problem(), (404, "not-found".into()));
    let left = "SELECT (SELECT count(*) FROM registrations) + (SELECT count(*) FROM codes)";
    assert_eq!(stack.database.count(left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activated_one_goes_as_set_and_its_account_and_its_key_do_not_suffer() {
    let stack = Stack::start_with(&[CLEANING, ("RETAIN_REGISTRATIONS_SECONDS", "86400")]).await;
    let answer = stack.client.register_once("a-key", ADA, PASSWORD).await;
    let registration = answer.registration();
    let code = stack.mail_server.mail_to(ADA).await.code();
    stack.client.receipt_when(&registration, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    almost(&stack, DAY).await;
    assert_eq!(stack.client.register_once("a-key", ADA, PASSWORD).await.registration(), registration);
    assert_eq!(receipt(&stack.client, &registration).await.json()["status"], "activated");
    and_over(&stack).await;
    assert_eq!(receipt(&stack.client, &registration).await.status, 404);
    assert_eq!(stack.client.resend(ADA).await.problem(), (409, "already-active".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_mails_go_after_a_month() {
    let stack = Stack::start_with(&[CLEANING]).await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.database.becomes(RECORDS, 2).await;
    almost(&stack, 30 * DAY).await;
    assert_eq!(stack.database.count(RECORDS).await, 2);
    and_over(&stack).await;
    assert_eq!(stack.database.count(RECORDS).await, 0);
    // What made the account known in its network counts for longer.
    let let_in = "SELECT count(*) FROM budgets WHERE kind = 'let-in'";
    almost(&stack, 60 * DAY).await;
    assert_eq!(stack.database.count(let_in).await, 1);
    and_over(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM budgets").await, 0);
}

/// I-09: whoever has had the codes of a day waits for the day to be over.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_codes_is_counted_until_it_is_over() {
    let stack = Stack::start_with(&[CLEANING, ("CODES_PER_DAY", "2")]).await;
    let register = |from| {
        let client = stack.client.at(from);
        async move { client.register(ADA).await.status }
    };
    assert_eq!([register("192.0.2.1").await, register("192.0.2.2").await], [202, 202]);
    almost(&stack, DAY).await;
    assert_eq!(register("192.0.2.3").await, 429);
    and_over(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM budgets").await, 0);
    assert_eq!(register("192.0.2.3").await, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_grow_until_a_day_was_quiet() {
    let stack = Stack::start_with(&[CLEANING]).await;
    let client = stack.client.at("192.0.2.1");
    // Gives five wrong passwords, and returns for how many minutes nobody looks at the next.
    let locked = async || {
        for _ in 0..5 {
            let wrong = client.activate_with(ADA, "not her password", &json!({ "code": "0000" })).await;
            assert_eq!(wrong.problem().0, 401, "{wrong:?}");
        }
        let answer = client.activate(ADA, "0000").await;
        assert_eq!(answer.problem().0, 429);
        (answer.header("retry-after").parse::<i32>().unwrap() + 59) / 60
    };
    assert_eq!(locked().await, 15);
    almost(&stack, 15 * 60 + DAY).await;
    assert_eq!(locked().await, 30);
    // A failure since the last lock keeps the count alive, as the lock itself does.
    stack.database.age(40 * 60).await;
    assert_eq!(client.activate(ADA, "0000").await.problem().0, 401);
    almost(&stack, DAY).await;
    assert_eq!(locked().await, 60);
    stack.database.age(60 * 60 + DAY).await;
    cleaned(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
    assert_eq!(locked().await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_guesses_are_counted_for_a_year() {
    let stack = Stack::start_with(&[CLEANING, ("CODES_PER_HOUR", "50"), ("CODES_PER_DAY", "50")]).await;
    for nth in 1..=3 {
        let password = format!("a stranger's password {nth}");
        let registration = stack.client.register_with(ADA, &password).await.registration();
        let code = stack.mail_server.nth_mail_to(ADA, nth).await.code();
        stack.client.receipt_when(&registration, "sent").await;
        for _ in 0..3 {
            let guess = json!({ "code": other_than(&code) });
            assert_eq!(stack.client.activate_with(ADA, &password, &guess).await.problem().0, 422);
        }
    }
    let hours = "SELECT (count(*) > 0)::integer::bigint FROM guesses_by_hour";
    // The hour that they fell in had begun up to an hour before.
    stack.database.age(24 * 3_600 - SOON).await;
    cleaned(&stack.database).await;
    assert_eq!(stack.database.count(hours).await, 1);
    stack.database.age(3_600 + SOON).await;
    cleaned(&stack.database).await;
    assert_eq!(stack.database.count(hours).await, 0);
    almost(&stack, 364 * DAY - 3_600).await;
    assert_eq!(stack.client.register(ADA).await.json()["code_length"], 6);
    and_over(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM guesses").await, 0);
    assert_eq!(stack.client.register(ADA).await.json()["code_length"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_when_it_has_expired() {
    let stack = Stack::start_with(&[CLEANING]).await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.client.token(ADA).await;
    almost(&stack, DAY).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM sessions").await, 1);
    and_over(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM sessions").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_goes_a_week_after_its_code_and_a_warning_after_a_week() {
    let stack = Stack::start_with(&[CLEANING]).await;
    stack.sign_up_and_activate(ADA).await;
    let token = stack.client.token(ADA).await;
    let wish = json!({ "password": PASSWORD, "new_password": "another password" });
    let change = stack.client.request("POST", "/v1/users/me/password").bearer_auth(&token).json(&wish);
    assert_eq!(send(change).await.status, 204);
    let forgot = stack.client.request("POST", "/v1/users/password/forgot").json(&json!({ "email": ADA }));
    let receipt = send(forgot).await.json()["receipt"].as_str().unwrap().to_owned();
    stack.mail_server.nth_mail_to(ADA, 4).await;
    // Ten minutes for the mail, and ten for the person.
    almost(&stack, 7 * DAY).await;
    let left = "SELECT (SELECT count(*) FROM resets) + (SELECT count(*) FROM password_changes)";
    assert_eq!(stack.database.count(left).await, 2);
    stack.database.age(SOON).await;
    cleaned(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 0);
    stack.database.age(20 * 60).await;
    cleaned(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM resets").await, 0);
    assert_eq!(stack.client.get(&format!("/v1/users/password/forgot/{receipt}")).await.status, 404);
}
