//! `POST /v1/users/me/password`: a logged-in user who knows the old password sets a new one.

use serde_json::json;

use crate::limits::network_limits::{NETWORK_A, status_and_scope};
use support::{
    client::{Answer, Client, PASSWORD, send},
    forgot_password::NEW,
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const ME: &str = "/v1/users/me";

pub(crate) async fn change(client: &Client, token: &str, old: &str, new: &str) -> Answer {
    let body = json!({ "password": old, "new_password": new });
    send(client.request("POST", "/v1/users/me/password").bearer_auth(token).json(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn password_change_ends_all_other_sessions() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let (own_token, other_token) = (stack.client.token(ADA).await, stack.client.token(ADA).await);
    stack.create_account("bob@example.com").await;
    let bobs = stack.client.token("bob@example.com").await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;

    let answer = change(&stack.client, &own_token, PASSWORD, NEW).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{answer:?}");
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 401);
    assert_eq!(stack.client.login(ADA, NEW).await.status, 200);
    let alive = [&own_token, &other_token, &bobs].map(|token| stack.client.bearer("GET", ME, token));
    let alive = futures_util::future::join_all(alive).await;
    assert_eq!(alive.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401, 200]);
    assert_eq!(stack.mail_server.nth_mail_to(ADA, 4).await.subject, "Your password was changed");
    assert_eq!(stack.client.login("bob@example.com", PASSWORD).await.status, 200);

    // A reset code that was requested before is no longer accepted; its receipt does not reveal that (I-15).
    assert_eq!(stack.client.reset_receipt(&receipt).await["status"], "sent");
    assert_eq!(stack.client.reset(&receipt, &code).await.problem(), (422, "wrong-code".into()));
    assert_eq!(change(&stack.client, &own_token, NEW, "a third horse battery").await.status, 204);
    assert_eq!(
        stack.mail_server.nth_mail_to(ADA, 5).await.subject,
        "Your password was changed",
        "every change is notified"
    );
}

/// S-36: a stolen session token neither changes the password nor allows guessing it.
#[tokio::test(flavor = "multi_thread")]
async fn password_change_requires_the_password_and_limits_guesses() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let token = stack.client.token(ADA).await;
    let network_a = stack.client.from_address(NETWORK_A);
    for _ in 0..5 {
        let answer = change(&network_a, &token, "not her password", NEW).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()));
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="vestibule""#);
    }
    assert_eq!(status_and_scope(&change(&network_a, &token, PASSWORD, NEW).await), (429, json!("account")));
    assert_eq!(
        status_and_scope(&network_a.login(ADA, PASSWORD).await),
        (429, json!("account")),
        "all endpoints share the limit"
    );
    assert_eq!(stack.client.bearer("GET", ME, &token).await.status, 200);
    assert_eq!(change(&stack.client, &token, PASSWORD, NEW).await.status, 204, "other networks are not locked out");
    assert_eq!(change(&stack.client, "", NEW, PASSWORD).await.problem(), (401, "unauthenticated".into()));
    assert_eq!(stack.client.bearer("POST", "/v1/users/logout", &token).await.status, 204);
    assert_eq!(change(&stack.client, &token, NEW, PASSWORD).await.problem(), (401, "unauthenticated".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_password_is_validated_like_the_first() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let token = stack.client.token(ADA).await;
    for (new, code) in [("", "required"), ("short", "too-short"), ("password", "too-common"), (ADA, "is-address")] {
        let answer = change(&stack.client, &token, PASSWORD, new).await;
        assert_eq!(answer.problem(), (422, "invalid-input".into()), "{new}");
        let error = &answer.json()["errors"][0];
        assert_eq!((&error["field"], &error["code"]), (&json!("new_password"), &json!(code)));
    }
    assert_eq!(change(&stack.client, &token, "", NEW).await.problem().0, 401);
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 0);
}

/// The first change makes the old password wrong for the second request, which also gave it.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_concurrent_changes_succeeds() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let tokens = [stack.client.token(ADA).await, stack.client.token(ADA).await];
    let changes = tokens.iter().enumerate().map(|(n, token)| {
        let client = stack.client.clone();
        async move { change(&client, token, PASSWORD, &format!("horse battery {n}")).await.status }
    });
    let statuses = futures_util::future::join_all(changes).await;
    let winner = statuses.iter().position(|status| *status == 204).unwrap();
    assert!([401, 503].contains(&statuses[1 - winner]), "{statuses:?}");
    assert_eq!(stack.client.login(ADA, &format!("horse battery {winner}")).await.status, 200);
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 1);
}

/// A → A changes nothing, so it neither counts nor is mailed.
#[tokio::test(flavor = "multi_thread")]
async fn unchanged_password_is_rejected() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let token = stack.client.token(ADA).await;
    for _ in 0..7 {
        let answer = change(&stack.client, &token, PASSWORD, PASSWORD).await;
        assert_eq!(answer.problem(), (422, "invalid-input".into()));
        let error = &answer.json()["errors"][0];
        assert_eq!((&error["field"], &error["code"]), (&json!("new_password"), &json!("unchanged")));
    }
    let answer = change(&stack.client, &token, "not her password", "not her password").await;
    assert_eq!(answer.problem().0, 401, "a stranger does not learn whether the new one is the current one");
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 0);
    assert_eq!(change(&stack.client, &token, PASSWORD, NEW).await.status, 204);
}

/// S-30: one account cannot fill the mail queue; changes of others and resets are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn s_30_account_changes_its_password_five_times_a_day() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    stack.create_account(ADA).await;
    let token = stack.client.token(ADA).await;
    let passwords = [PASSWORD, NEW];
    for n in 0..5 {
        assert_eq!(change(&stack.client, &token, passwords[n % 2], passwords[(n + 1) % 2]).await.status, 204);
    }
    for n in 5..300 {
        let answer = change(&stack.client, &token, NEW, passwords[n % 2]).await;
        assert_eq!(status_and_scope(&answer), (429, json!("account")));
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 5);
    stack.mail_server.nth_mail_to(ADA, 7).await;
    let (receipt, code) = stack.request_reset_code(ADA, 8).await;
    assert_eq!(
        stack.client.reset_to(&receipt, &code, "a third horse battery").await.status,
        204,
        "resets are not limited"
    );
    stack.database.age(86_400).await;
    let login = stack.client.login(ADA, "a third horse battery").await.json();
    let token = login["token"].as_str().unwrap().to_owned();
    assert_eq!(change(&stack.client, &token, "a third horse battery", NEW).await.status, 204);
}
