//! What happens elsewhere, on another device or in another tab, and what happens twice.

use serde_json::json;

use crate::harness::views::{ADA, page};
use support::client::{PASSWORD, send};

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_on_another_device_is_told_to_log_in_here() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    let registration = browser.evaluate("sessionStorage.getItem('vestibule.registration')").await;
    stack.client.receipt_when(registration.as_str().unwrap(), "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    browser.view("log-in").await;
    browser.complains("already-active").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_that_its_address_disowned_is_over_here_as_well() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let mail = stack.mail_server.mail_to(ADA).await;
    let token = mail.text.lines().find_map(|line| line.strip_prefix("http://localhost:8000/not-me/")).unwrap();
    assert_eq!(send(stack.client.request("POST", &format!("/not-me/{token}"))).await.status, 200);
    browser.view("sign-up").await;
    browser.complains("closed").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_is_said_to_be() {
    let (stack, browser) = page().await;
    browser.sign_up_and_activate(&stack, ADA).await;
    stack.database.age(86_401).await;
    browser.click("#delete").await;
    browser.click("#delete-go").await;
    browser.view("log-in").await;
    browser.complains("session-over").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.view("welcome").await;
    browser.close_after(&["401"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_loaded_again_asks_for_the_password_and_goes_on() {
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
async fn what_is_pressed_twice_is_done_once() {
    let (stack, browser) = page().await;
    browser.fill("#email", ADA).await;
    browser.fill("#password", PASSWORD).await;
    browser.evaluate("for (const _ of [1, 2, 3]) document.querySelector('#sign-up-go').click()").await;
    browser.view("code").await;
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 1);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_goes_to_the_view_before() {
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
async fn going_back_from_the_inside_is_no_trap() {
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
async fn who_logs_in_instead_waits_for_no_code_any_more() {
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
