//! Complete user journeys: sign-up, activation, sign-in, password reset and deletion.

use serde_json::json;

use crate::harness::views::{ADA, page};
use support::client::PASSWORD;

#[tokio::test(flavor = "multi_thread")]
async fn user_signs_up_activates_signs_in_and_deletes_the_account() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    assert_eq!(browser.evaluate("document.querySelectorAll('#boxes input').length").await, 4);
    let code = stack.mail_server.mail_to(ADA).await.code();
    // The countdown starts without a user action.
    browser.until("Number(document.querySelector('#ring:not([hidden])').dataset.left) > 0").await;
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    assert_eq!(browser.text("#profile-email").await, ADA);
    assert_ne!(browser.text("#status").await, "", "screen readers must announce the activation");

    browser.click("#sign-out").await;
    browser.view("log-in").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.view("welcome").await;
    assert_eq!(browser.text("#profile-email").await, ADA);

    browser.click("#delete").await;
    browser.click("#confirm-delete #delete-cancel").await;
    browser.until("!document.querySelector('#confirm-delete').open").await;
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200, "the account was deleted without confirmation");
    browser.click("#delete").await;
    browser.fill("#delete-password", "not her password").await;
    browser.click("#delete-go").await;
    browser.until("document.querySelector('#delete-password-error').textContent").await;
    browser.fill("#delete-password", PASSWORD).await;
    browser.click("#delete-go").await;
    browser.view("sign-up").await;
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 401);
    // The page must not show the email address to the next user of the browser.
    let fields = "[...document.querySelectorAll('input')].map(field => field.value).join()";
    let all = format!("document.documentElement.textContent + {fields}");
    assert_eq!(browser.evaluate(&format!("({all}).includes('{ADA}')")).await, false);
    browser.close_after(&["401"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_password_is_reset_with_a_code() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    let token = stack.client.token(ADA).await;
    browser.click("#to-log-in").await;
    browser.view("log-in").await;
    browser.log_in(ADA, "another horse battery").await;
    browser.wait_for_problem("wrong-password").await;
    browser.click("#to-forgot").await;
    browser.fill("#forgot-email", ADA).await;
    browser.click("#forgot-go").await;
    browser.view("reset").await;
    // The third mail: the first two are the sign-up code and the activation.
    let code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    browser.until(&format!("document.querySelectorAll('#reset-boxes input').length === {}", code.len())).await;
    browser.enter("#reset-boxes", &code).await;
    browser.fill("#reset-password", "another horse battery").await;
    browser.click("#reset-go").await;
    browser.view("log-in").await;
    assert_eq!(
        stack.client.bearer("GET", "/v1/users/me", &token).await.status,
        401,
        "a session survived the password reset"
    );
    browser.log_in(ADA, "another horse battery").await;
    browser.view("welcome").await;
    browser.close_after(&["401"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_kept_in_storage_cookies_or_history() {
    let (stack, browser) = page().await;
    browser.sign_up_and_activate(&stack, ADA).await;
    let storage =
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])";
    let storage = browser.evaluate(storage).await.to_string();
    let token = stack.client.token(ADA).await;
    let requests = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name).join()").await;
    for secret in [PASSWORD, &token, "Bearer"] {
        assert!(
            !storage.contains(secret) && !requests.to_string().contains(secret),
            "{secret} in {storage} or {requests}"
        );
    }
    assert_eq!(browser.evaluate("document.querySelector('#password').value").await, json!(""));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn password_reset_elsewhere_leads_to_sign_in() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    browser.click("#to-log-in").await;
    browser.click("#to-forgot").await;
    browser.fill("#forgot-email", ADA).await;
    browser.click("#forgot-go").await;
    browser.view("reset").await;
    let code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    let receipt = "performance.getEntriesByType('resource').map(entry => entry.name.match(/forgot.([-0-9a-f]+)$/)?.[1]).find(Boolean)";
    browser.until(receipt).await;
    let body = json!({ "receipt": browser.evaluate(receipt).await, "code": code, "password": "another horse battery" });
    assert!(stack.client.post("/v1/users/password/reset", &body).await.status < 300);
    browser.view("log-in").await;
    browser.wait_for_message("#status", "changed").await;
    browser.log_in(ADA, "another horse battery").await;
    browser.view("welcome").await;
    browser.close().await;
}
