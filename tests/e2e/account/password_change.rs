//! Another password for whoever is logged in and knows the old one.

use serde_json::json;

use crate::limits::network_limits::{HERE, scope};
use support::{
    client::{Answer, Client, PASSWORD, send},
    forgot_password::NEW,
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const ME: &str = "/v1/users/me";

async fn change(client: &Client, token: &str, old: &str, new: &str) -> Answer {
    let body = json!({ "password": old, "new_password": new });
    send(client.request("POST", "/v1/users/me/password").bearer_auth(token).json(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_password_has_another_one_and_no_other_session() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
    let (here, elsewhere) = (stack.client.token(ADA).await, stack.client.token(ADA).await);
    stack.account("bob@example.com").await;
    let bobs = stack.client.token("bob@example.com").await;
    let (receipt, code) = stack.forgotten(ADA, 3).await;

    let answer = change(&stack.client, &here, PASSWORD, NEW).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{answer:?}");
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 401);
    assert_eq!(stack.client.login(ADA, NEW).await.status, 200);
    let alive = [&here, &elsewhere, &bobs].map(|token| stack.client.bearer("GET", ME, token));
    let alive = futures_util::future::join_all(alive).await;
    assert_eq!(alive.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401, 200]);
    assert_eq!(stack.mail_server.nth_mail_to(ADA, 4).await.subject, "Your password was changed");
    assert_eq!(stack.client.login("bob@example.com", PASSWORD).await.status, 200);

    // A code that was on its way is good for nothing now, and does not say so.
    assert_eq!(stack.client.reset_receipt(&receipt).await["status"], "sent");
    assert_eq!(stack.client.reset(&receipt, &code).await.problem(), (422, "wrong-code".into()));
    assert_eq!(change(&stack.client, &here, NEW, "a third horse battery").await.status, 204);
    assert_eq!(stack.mail_server.nth_mail_to(ADA, 5).await.subject, "Your password was changed", "each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_alone_changes_no_password_and_guesses_none() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
    let (token, here) = (stack.client.token(ADA).await, stack.client.at(HERE));
    for _ in 0..5 {
        let answer = change(&here, &token, "not her password", NEW).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()));
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="vestibule""#);
    }
    assert_eq!(scope(&change(&here, &token, PASSWORD, NEW).await), (429, json!("account")));
    assert_eq!(scope(&here.login(ADA, PASSWORD).await), (429, json!("account")), "wherever a password is given");
    assert_eq!(stack.client.bearer("GET", ME, &token).await.status, 200);
    assert_eq!(change(&stack.client, &token, PASSWORD, NEW).await.status, 204, "from elsewhere it goes");
    assert_eq!(change(&stack.client, "", NEW, PASSWORD).await.problem(), (401, "unauthenticated".into()));
    assert_eq!(stack.client.bearer("POST", "/v1/users/logout", &token).await.status, 204);
    assert_eq!(change(&stack.client, &token, NEW, PASSWORD).await.problem(), (401, "unauthenticated".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_password_obeys_the_rules_of_the_first() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
    let token = stack.client.token(ADA).await;
    for (new, code) in [("", "required"), ("short", "too-short"), ("password", "too-common"), (ADA, "is-address")] {
        let answer = change(&stack.client, &token, PASSWORD, new).await;
        assert_eq!(answer.problem(), (422, "invalid-input".into()), "{new}");
        let fault = &answer.json()["errors"][0];
        assert_eq!((&fault["field"], &fault["code"]), (&json!("new_password"), &json!(code)));
    }
    assert_eq!(change(&stack.client, &token, "", NEW).await.problem().0, 401);
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    assert_eq!(stack.database.count("SELECT count(*) FROM password_changes").await, 0);
}

/// Each changes it for all that come later: whoever began with the old password is not right any more.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_one_is_made() {
    let stack = Stack::start().await;
    stack.account(ADA).await;
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
