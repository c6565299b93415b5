//! Sessions: log-in, use, log-out and expiry.

use serde_json::json;

use crate::limits::network_limits::{NETWORK_A, status_and_scope};
use support::{
    client::{Answer, Client, PASSWORD, concurrently_with_retry, count, send},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BEARER: &str = r#"Bearer realm="vestibule""#;

async fn me(client: &Client, token: &str) -> Answer {
    client.bearer("GET", "/v1/users/me", token).await
}

#[tokio::test(flavor = "multi_thread")]
async fn login_opens_a_session_and_logout_ends_it() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let user = stack.client.activate(ADA, &code).await.json();
    let answer = stack.client.login(" Ada@Example.COM", PASSWORD).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let session = answer.json();
    assert_eq!((session.as_object().unwrap().len(), &session["token_type"]), (3, &json!("Bearer")));
    assert!(session["expires_at"].is_string() && answer.header("cache-control") == "no-store", "{answer:?}");
    let token = session["token"].as_str().unwrap();
    assert!(token.len() == 43 && !token.contains(['+', '/', '=']), "{token}");

    let other = stack.client.token(ADA).await;
    let answer = me(&stack.client, token).await;
    assert_eq!((answer.status, answer.json()), (200, user));
    let answer = stack.client.bearer("POST", "/v1/users/logout/", token).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{answer:?}");
    for (method, path) in [("GET", "/v1/users/me"), ("POST", "/v1/users/logout")] {
        let answer = stack.client.bearer(method, path, token).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), BEARER);
    }
    assert_eq!(me(&stack.client, &other).await.status, 200, "log-out ends only its own session");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixth_session_ends_the_oldest() {
    let stack = Stack::start().await;
    stack.sign_up_and_activate(ADA).await;
    stack.sign_up_and_activate("bob@example.com").await;
    let bobs = stack.client.token("bob@example.com").await;
    let mut tokens = vec![];
    for _ in 0..6 {
        tokens.push(stack.client.token(ADA).await);
        if tokens.len() == 5 {
            assert_eq!(me(&stack.client, &tokens[0]).await.status, 200);
        }
    }
    let mut alive = vec![];
    for token in &tokens {
        alive.push(me(&stack.client, token).await.status);
    }
    assert_eq!(alive, [401, 200, 200, 200, 200, 200]);
    assert_eq!(me(&stack.client, &bobs).await.status, 200);
    assert_eq!(stack.client.get("/v1/policy").await.json()["sessions"], json!({ "lifetime": 86_400, "per_user": 5 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_concurrent_logins_leave_five_sessions() {
    let stack = Stack::start().await;
    stack.sign_up_and_activate(ADA).await;
    let client = stack.client.clone();
    let answers = concurrently_with_retry(20, |_| {
        let client = client.clone();
        async move { client.login(ADA, PASSWORD).await }
    })
    .await;
    assert_eq!(count(&answers), [(200, 20)].into(), "concurrent correct passwords are no failures");
    let mut alive = 0;
    for answer in &answers {
        alive += u32::from(me(&stack.client, answer.json()["token"].as_str().unwrap()).await.status == 200);
    }
    assert_eq!(alive, 5);
    assert_eq!(stack.database.count("SELECT count(*) FROM sessions").await, 5);
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn session_expires_after_its_lifetime() {
    let mut stack = Stack::prepare(&[]).await;
    let long = stack.start_api(&[]).await;
    let short = stack.start_api(&[("SESSION_TTL_SECONDS", "600")]).await;
    stack.start_worker(&[]).await;
    stack.client = long.client.clone();
    stack.sign_up_and_activate(ADA).await;
    let (day_token, minutes_token) = (long.client.token(ADA).await, short.client.token(ADA).await);
    stack.database.age(540).await;
    assert_eq!(me(&stack.client, &minutes_token).await.status, 200);
    stack.database.age(60).await;
    assert_eq!(me(&stack.client, &minutes_token).await.problem(), (401, "unauthenticated".into()));
    assert_eq!(stack.client.bearer("POST", "/v1/users/logout", &minutes_token).await.status, 401);
    stack.database.age(86_400 - 660).await;
    assert_eq!(me(&stack.client, &day_token).await.status, 200);
    stack.database.age(60).await;
    assert_eq!(me(&stack.client, &day_token).await.status, 401);
}

/// A pending registration cannot log in, and only the correct password reveals it: a wrong one gets the same answer at
/// a pending, an unknown and an invalid email address.
#[tokio::test(flavor = "multi_thread")]
async fn login_reveals_a_pending_registration_to_its_owner_only() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let network_a = stack.client.from_address(NETWORK_A);
    for _ in 0..9 {
        assert_eq!(network_a.login(ADA, PASSWORD).await.problem(), (403, "not-activated".into()));
    }
    let mut problems = vec![];
    for email in [ADA, "unknown@example.com", "not an address"] {
        let answer = stack.client.login(email, "not the password").await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{email}");
        assert_eq!(answer.header("www-authenticate"), r#"Basic realm="vestibule", charset="UTF-8""#);
        let mut body = answer.json();
        body["request_id"].take();
        problems.push(body);
    }
    assert!(problems.windows(2).all(|pair| pair[0] == pair[1]), "{problems:?}");

    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.client.register_with(ADA, "an attacker's password").await.status, 202);
    assert_eq!(
        stack.client.login(ADA, "an attacker's password").await.problem().0,
        403,
        "as at an address without an account"
    );
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_at_all_endpoints_share_one_limit() {
    let stack = Stack::start().await;
    stack.sign_up_and_activate(ADA).await;
    let network_a = stack.client.from_address(NETWORK_A);
    for _ in 0..2 {
        assert_eq!(network_a.login(ADA, "not her password").await.status, 401);
        let body = json!({ "code": "0000" });
        assert_eq!(network_a.activate_with(ADA, "not her password", &body).await.status, 401);
    }
    assert_eq!(network_a.login(ADA, PASSWORD).await.status, 200, "the correct password resets the failures");
    for _ in 0..20 {
        assert_eq!(network_a.login(ADA, "not her password").await.status, 401, "the network is known now");
    }
    let rejected = network_a.login(ADA, PASSWORD).await;
    assert_eq!(status_and_scope(&rejected), (429, json!("account")));
    assert!((840..=900).contains(&rejected.header("retry-after").parse::<i64>().unwrap()), "{rejected:?}");
    assert_eq!(status_and_scope(&network_a.activate(ADA, "0000").await), (429, json!("account")));
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200, "other networks are not locked out");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_27_malformed_bearer_headers_are_unauthenticated() {
    let stack = Stack::start().await;
    stack.sign_up_and_activate(ADA).await;
    let token = stack.client.token(ADA).await;
    let guess = "A".repeat(43);
    let malformed =
        ["", "Bearer", "Bearer ", "Bearer %%%", &token, &format!("Basic {token}"), &format!("Bearer {guess}")];
    for header in malformed.into_iter().chain([format!("Bearer {token}=").as_str(), &format!("Bearer {token} {token}")])
    {
        let request = stack.client.request("GET", "/v1/users/me").header("Authorization", header);
        let answer = send(request).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{header}");
        assert_eq!(answer.header("www-authenticate"), BEARER);
        assert!(!answer.text.contains(&token));
    }
    assert_eq!(stack.client.get("/v1/users/me").await.header("www-authenticate"), BEARER);
    let twice = stack.client.request("GET", "/v1/users/me").bearer_auth(&token).bearer_auth(&token);
    assert_eq!(send(twice).await.status, 401);
    let lower = stack.client.request("GET", "/v1/users/me").header("Authorization", format!("bearer {token}"));
    assert_eq!(send(lower).await.status, 200);
}
