//! What is seen between the sign-up and the mail, and while the minute runs.

use serde_json::{Value, json};

use crate::harness::{
    browser::Browser,
    views::{ADA, page, page_with, wrong},
};
use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const LEFT: &str = "Number(document.querySelector('#ring').dataset.left)";
const RUNS: &str = "document.querySelector('#ring').checkVisibility()";
/// How often the receipt was asked for.
const ASKED: &str =
    "performance.getEntriesByType('resource').filter(at => /registrations.[-0-9a-f]+$/.test(at.name)).length";

/// Signed up while nobody mails.
async fn without_a_worker(script: Option<&str>) -> (Stack, Browser) {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let browser = Browser::start(stack.client.base()).await;
    if let Some(source) = script {
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    }
    browser.goto("/").await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.says("#delivery", "on-its-way").await;
    assert_eq!(browser.evaluate(RUNS).await, false, "the minute has not begun");
    (stack, browser)
}

async fn the_mail_leaves(stack: &Stack, browser: &Browser) {
    stack.start_worker(&[]).await;
    stack.mail_server.mail_to(ADA).await;
    browser.until(RUNS).await;
    browser.says("#delivery", "handed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minute_begins_when_the_mail_has_left_and_the_page_hears_of_it() {
    let (stack, browser) = without_a_worker(None).await;
    the_mail_leaves(&stack, &browser).await;
    assert_eq!(browser.evaluate(ASKED).await, 0, "it was told");
    let left = browser.evaluate(LEFT).await.as_f64().unwrap();
    assert!((1.0..=60.0).contains(&left), "{left}");
    browser.until(&format!("{LEFT} < {left}")).await;

    // It is the service's minute, not the browser's.
    stack.database.age(30).await;
    browser.web.refresh().await.unwrap();
    browser.view("code").await;
    browser.until(RUNS).await;
    let left = browser.evaluate(LEFT).await.as_f64().unwrap();
    assert!(left <= 30.0, "{left}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_long_is_told_that_it_takes_longer_than_it_should() {
    let (stack, browser) = without_a_worker(None).await;
    stack.database.age(25).await;
    browser.web.refresh().await.unwrap();
    browser.view("code").await;
    browser.says("#delivery", "late").await;
    the_mail_leaves(&stack, &browser).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_a_code_before_any_was_mailed_has_lost_no_try() {
    let (stack, browser) = without_a_worker(None).await;
    browser.enter("#boxes", "1234").await;
    browser.complains("not-sent").await;
    the_mail_leaves(&stack, &browser).await;
    browser.reads("#tries", "3").await;
    browser.close_after(&["422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_cannot_listen_asks() {
    let (stack, browser) = without_a_worker(Some("delete window.EventSource")).await;
    assert_eq!(browser.evaluate("typeof EventSource").await, "undefined");
    the_mail_leaves(&stack, &browser).await;
    assert_ne!(browser.evaluate(ASKED).await, 0);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_open_and_silent_is_not_waited_for() {
    let silent = "window.EventSource = class extends EventTarget { readyState = 1; close() {} }";
    let (stack, browser) = without_a_worker(Some(silent)).await;
    the_mail_leaves(&stack, &browser).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_says_later_is_waited_for() {
    let (stack, browser) = page().await;
    // It is tried again after a second, and then after five: long enough to look in between.
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Rcpt, code: 451 }; 2]);
    browser.sign_up(ADA).await;
    browser.view("code").await;
    stack.mail_server.nth_attempt(ADA, 1).await;
    assert_eq!(browser.evaluate(RUNS).await, false, "refused for now is not delivered");
    stack.mail_server.mail_to(ADA).await;
    browser.until(RUNS).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_code_is_to_be_had_when_it_is_time_and_the_first_one_is_dead() {
    let (stack, browser) = page_with(&[("RESEND_THROTTLE_SECONDS", "2")]).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let first = stack.mail_server.mail_to(ADA).await.code();
    // Allowed by itself, when what it says has come.
    browser.until("!document.querySelector('#resend').disabled").await;
    browser.click("#resend").await;
    let second = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.until(RUNS).await;
    let stale = if first == second { wrong(&second) } else { first };
    browser.enter("#boxes", &stale).await;
    browser.reads("#tries", "2").await;
    browser.enter("#boxes", &second).await;
    browser.view("welcome").await;
    browser.close_after(&["422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_have_another_code_yet_reads_when() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    stack.mail_server.mail_to(ADA).await;
    browser.until("document.querySelector('#resend-when').innerText.match(/[0-9]/)").await;
    assert_eq!(browser.evaluate("document.querySelector('#resend').disabled").await, Value::Bool(true));
    browser.close().await;
}
