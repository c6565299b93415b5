//! The way of a stranger through the page, to the end.

use serde_json::json;

use crate::harness::views::{ADA, page};
use support::client::PASSWORD;

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_signs_up_comes_in_leaves_comes_back_and_is_erased() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    assert_eq!(browser.evaluate("document.querySelectorAll('#boxes input').length").await, 4);
    let code = stack.mail_server.mail_to(ADA).await.code();
    // The minute begins to run by itself.
    browser.until("Number(document.querySelector('#ring:not([hidden])').dataset.left) > 0").await;
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    assert_eq!(browser.text("#profile-email").await, ADA);
    assert_ne!(browser.text("#status").await, "", "who does not see the page hears of it");

    browser.click("#sign-out").await;
    browser.view("log-in").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.view("welcome").await;
    assert_eq!(browser.text("#profile-email").await, ADA);

    browser.click("#delete").await;
    browser.click("#confirm-delete #delete-cancel").await;
    browser.until("!document.querySelector('#confirm-delete').open").await;
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200, "nothing was deleted yet");
    browser.click("#delete").await;
    browser.click("#confirm-delete #delete-go").await;
    browser.view("sign-up").await;
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 401);
    // Whoever sits there next does not read whose it was.
    let fields = "[...document.querySelectorAll('input')].map(field => field.value).join()";
    let all = format!("document.documentElement.textContent + {fields}");
    assert_eq!(browser.evaluate(&format!("({all}).includes('{ADA}')")).await, false);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_forgot_the_password_chooses_another_one() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    let token = stack.client.token(ADA).await;
    browser.click("#to-log-in").await;
    browser.view("log-in").await;
    browser.log_in(ADA, "another horse battery").await;
    browser.complains("wrong-password").await;
    browser.click("#to-forgot").await;
    browser.fill("#forgot-email", ADA).await;
    browser.click("#forgot-go").await;
    browser.view("reset").await;
    // After the code and the welcome.
    let code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    browser.until(&format!("document.querySelectorAll('#reset-boxes input').length === {}", code.len())).await;
    browser.enter("#reset-boxes", &code).await;
    browser.fill("#reset-password", "another horse battery").await;
    browser.click("#reset-go").await;
    browser.view("log-in").await;
    assert_eq!(stack.client.bearer("GET", "/v1/users/me", &token).await.status, 401, "all sessions are over");
    browser.log_in(ADA, "another horse battery").await;
    browser.view("welcome").await;
    browser.close_after(&["401"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_kept_where_the_next_visitor_finds_it() {
    let (stack, browser) = page().await;
    browser.sign_up_and_activate(&stack, ADA).await;
    let kept =
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])";
    let kept = browser.evaluate(kept).await.to_string();
    let token = stack.client.token(ADA).await;
    let session = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name).join()").await;
    for secret in [PASSWORD, &token, "Bearer"] {
        assert!(!kept.contains(secret) && !session.to_string().contains(secret), "{secret} in {kept} or {session}");
    }
    assert_eq!(browser.evaluate("document.querySelector('#password').value").await, json!(""));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_elsewhere_is_changed_here_as_well() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    browser.click("#to-log-in").await;
    browser.click("#to-forgot").await;
    browser.fill("#forgot-email", ADA).await;
    browser.click("#forgot-go").await;
    browser.view("reset").await;
    let code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    let asked =
        "performance.getEntriesByType('resource').map(at => at.name.match(/forgot.([-0-9a-f]+)$/)?.[1]).find(Boolean)";
    browser.until(asked).await;
    let body = json!({ "receipt": browser.evaluate(asked).await, "code": code, "password": "another horse battery" });
    assert!(stack.client.post("/v1/users/password/reset", &body).await.status < 300);
    browser.view("log-in").await;
    browser.says("#status", "changed").await;
    browser.log_in(ADA, "another horse battery").await;
    browser.view("welcome").await;
    browser.close().await;
}
