//! Events from other devices and tabs, page reloads, repeated clicks and the browser history.

use serde_json::json;

use crate::harness::views::{ADA, page};
use support::client::{PASSWORD, send};

#[tokio::test(flavor = "multi_thread")]
async fn activation_on_another_device_leads_to_sign_in() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    let registration = browser.evaluate("sessionStorage.getItem('vestibule.registration')").await;
    stack.client.wait_for_receipt(registration.as_str().unwrap(), "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    browser.view("log-in").await;
    browser.wait_for_problem("already-active").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disowned_registration_closes_the_code_view() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let mail = stack.mail_server.mail_to(ADA).await;
    let token = mail.text.lines().find_map(|line| line.strip_prefix("http://localhost:8000/not-me/")).unwrap();
    assert_eq!(send(stack.client.request("POST", &format!("/not-me/{token}"))).await.status, 200);
    browser.view("sign-up").await;
    browser.wait_for_problem("closed").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_session_is_reported() {
    let (stack, browser) = page().await;
    browser.sign_up_and_activate(&stack, ADA).await;
    stack.database.age(86_401).await;
    browser.click("#sign-out").await;
    browser.view("log-in").await;
    browser.wait_for_problem("session-ended").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.view("welcome").await;
    browser.close_after(&["401"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloaded_code_view_asks_for_the_password_again() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring').checkVisibility()").await;
    browser.web.refresh().await.unwrap();
    browser.view("code").await;
    browser.until("document.querySelector('#ring').checkVisibility()").await;
    browser.fill("#again-email", ADA).await;
    browser.fill("#again-password", PASSWORD).await;
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    browser.web.refresh().await.unwrap();
    browser.until("document.querySelector('#profile-email').innerText === ''").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_clicks_register_once() {
    let (stack, browser) = page().await;
    browser.fill("#email", ADA).await;
    browser.fill("#password", PASSWORD).await;
    browser.evaluate("for (const _ of [1, 2, 3]) document.querySelector('#sign-up-go').click()").await;
    browser.view("code").await;
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 1);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn back_and_forward_navigate_between_views() {
    let (_stack, browser) = page().await;
    browser.click("#to-log-in").await;
    browser.view("log-in").await;
    browser.click("#to-forgot").await;
    browser.view("forgot").await;
    browser.web.back().await.unwrap();
    browser.view("log-in").await;
    browser.web.back().await.unwrap();
    browser.view("sign-up").await;
    browser.web.forward().await.unwrap();
    browser.view("log-in").await;
    let focus = browser.evaluate("document.activeElement.closest('[data-view]')?.dataset.view").await;
    assert_eq!(focus, json!("log-in"));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn back_from_the_account_view_leaves_the_page() {
    let (stack, browser) = page().await;
    browser.sign_up_and_activate(&stack, ADA).await;
    for _ in ["the code", "the sign-up"] {
        browser.web.back().await.unwrap();
        browser.until("location.hash === '#welcome'").await;
        browser.view("welcome").await;
    }
    browser.web.back().await.unwrap();
    browser.until("location.protocol !== 'http:'").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_forgets_the_pending_registration() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    browser.sign_up("bob@example.com").await;
    browser.view("code").await;
    browser.evaluate("location.hash = '#log-in'").await;
    browser.view("log-in").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.view("welcome").await;
    assert_eq!(browser.evaluate("sessionStorage.getItem('vestibule.registration')").await, json!(null));
    browser.close().await;
}
