//! The code view between the sign-up and the delivery of the mail, and while the code is valid.

use serde_json::{Value, json};

use crate::harness::{
    browser::Browser,
    views::{ADA, page, page_with, wrong},
};
use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

/// The seconds that the code is still valid, as the countdown shows them.
const SECONDS_LEFT: &str = "Number(document.querySelector('#ring').dataset.left)";
/// Whether the countdown is visible.
const COUNTDOWN_VISIBLE: &str = "document.querySelector('#ring').checkVisibility()";
/// How often the page polled the receipt.
const POLL_COUNT: &str =
    "performance.getEntriesByType('resource').filter(entry => /registrations.[-0-9a-f]+$/.test(entry.name)).length";

/// Signs up while no worker is running, so that no mail is sent. The script runs before those of the page.
async fn sign_up_without_worker(script: Option<&str>) -> (Stack, Browser) {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let browser = Browser::start(stack.client.base()).await;
    if let Some(source) = script {
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    }
    browser.goto("/").await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.wait_for_message("#delivery", "on-its-way").await;
    assert_eq!(browser.evaluate(COUNTDOWN_VISIBLE).await, false, "the countdown started before the mail was delivered");
    (stack, browser)
}

/// Starts a worker and waits until the page shows that the mail was delivered.
async fn deliver_mail(stack: &Stack, browser: &Browser) {
    stack.start_worker(&[]).await;
    stack.mail_server.mail_to(ADA).await;
    browser.until(COUNTDOWN_VISIBLE).await;
    browser.wait_for_message("#delivery", "accepted-ago").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn countdown_starts_when_the_mail_is_delivered() {
    let (stack, browser) = sign_up_without_worker(None).await;
    deliver_mail(&stack, &browser).await;
    assert_eq!(browser.evaluate(POLL_COUNT).await, 0, "the page must receive an event instead of polling");
    let left = browser.evaluate(SECONDS_LEFT).await.as_f64().unwrap();
    assert!((1.0..=60.0).contains(&left), "{left}");
    browser.until(&format!("{SECONDS_LEFT} < {left}")).await;

    // The remaining time comes from the service, not from the browser: ageing the database shortens it.
    stack.database.age(30).await;
    browser.web.refresh().await.unwrap();
    browser.view("code").await;
    browser.until(COUNTDOWN_VISIBLE).await;
    let left = browser.evaluate(SECONDS_LEFT).await.as_f64().unwrap();
    assert!(left <= 30.0, "{left}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_mail_is_reported_as_late() {
    let (stack, browser) = sign_up_without_worker(None).await;
    stack.database.age(25).await;
    browser.web.refresh().await.unwrap();
    browser.view("code").await;
    browser.wait_for_message("#delivery", "late").await;
    deliver_mail(&stack, &browser).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_entered_before_delivery_costs_no_attempt() {
    let (stack, browser) = sign_up_without_worker(None).await;
    browser.enter("#boxes", "1234").await;
    browser.wait_for_problem("not-sent").await;
    deliver_mail(&stack, &browser).await;
    browser.wait_for_text("#attempts", "3").await;
    browser.close_after(&["422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_polls_without_event_source() {
    let (stack, browser) = sign_up_without_worker(Some("delete window.EventSource")).await;
    assert_eq!(browser.evaluate("typeof EventSource").await, "undefined");
    deliver_mail(&stack, &browser).await;
    assert_ne!(browser.evaluate(POLL_COUNT).await, 0);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_polls_when_the_event_stream_is_silent() {
    let silent = "window.EventSource = class extends EventTarget { readyState = 1; close() {} }";
    let (stack, browser) = sign_up_without_worker(Some(silent)).await;
    deliver_mail(&stack, &browser).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_mail_server_error_does_not_start_the_countdown() {
    let (stack, browser) = page().await;
    // The worker retries after 1 s and then after 5 s, which leaves time to look at the page in between.
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Rcpt, code: 451 }; 2]);
    browser.sign_up(ADA).await;
    browser.view("code").await;
    stack.mail_server.nth_attempt(ADA, 1).await;
    assert_eq!(browser.evaluate(COUNTDOWN_VISIBLE).await, false, "a temporary rejection is not a delivery");
    stack.mail_server.mail_to(ADA).await;
    browser.until(COUNTDOWN_VISIBLE).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resent_code_invalidates_the_first_code() {
    let (stack, browser) = page_with(&[("RESEND_THROTTLE_SECONDS", "2")]).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let first = stack.mail_server.mail_to(ADA).await.code();
    // The page enables the button by itself at the announced time.
    browser.until("!document.querySelector('#resend').disabled").await;
    browser.click("#resend").await;
    let second = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.until(COUNTDOWN_VISIBLE).await;
    let stale = if first == second { wrong(&second) } else { first };
    browser.enter("#boxes", &stale).await;
    browser.wait_for_text("#attempts", "2").await;
    browser.enter("#boxes", &second).await;
    browser.view("welcome").await;
    browser.close_after(&["422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resend_button_shows_when_it_is_available() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    stack.mail_server.mail_to(ADA).await;
    browser.until("document.querySelector('#resend-when').innerText.match(/[0-9]/)").await;
    assert_eq!(browser.evaluate("document.querySelector('#resend').disabled").await, Value::Bool(true));
    browser.close().await;
}
