//! What goes wrong on the way in: the page says it, and what to do next.

use crate::harness::views::{ADA, page, page_with, wrong};
use support::{
    client::PASSWORD,
    fake_smtp::behaviour::{Behaviour, Stage},
};

/// So that another code is to be had at once.
const AT_ONCE: &[(&str, &str)] = &[("RESEND_THROTTLE_SECONDS", "0")];

#[tokio::test(flavor = "multi_thread")]
async fn each_field_says_what_is_wrong_with_it() {
    let (stack, browser) = page().await;
    for (email, password, field) in [
        ("", PASSWORD, "email"),
        ("no address", PASSWORD, "email"),
        (ADA, "", "password"),
        (ADA, "short", "password"),
        (ADA, "password", "password"),
        (ADA, ADA, "password"),
    ] {
        browser.fill("#email", email).await;
        browser.fill("#password", password).await;
        browser.click("#sign-up-go").await;
        browser.until(&format!("document.querySelector('#{field}-error').innerText")).await;
        browser.until(&format!("document.querySelector('#{field}').ariaInvalid === 'true'")).await;
        browser.has_focus(&format!("#{field}")).await;
        let described = format!("document.querySelector('#{field}').getAttribute('aria-describedby')");
        assert!(browser.evaluate(&described).await.as_str().unwrap().contains(&format!("{field}-error")));
    }
    // What is mended is no longer complained of.
    assert_eq!(browser.evaluate("document.querySelector('#email-error').innerText").await, "");
    assert_eq!(stack.mail_server.count(), 0);
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.close_after(&["422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_says_how_many_tries_are_left_and_the_last_one_where_a_new_code_is() {
    let (stack, browser) = page_with(AT_ONCE).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let first = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    for left in ["2", "1"] {
        browser.enter("#boxes", &wrong(&first)).await;
        browser.reads("#tries", left).await;
        browser.complains("wrong-code").await;
        browser.until("[...document.querySelectorAll('#boxes input')].every(box => !box.value)").await;
    }
    browser.enter("#boxes", &wrong(&first)).await;
    browser.complains("exhausted").await;
    browser.click("#resend").await;
    let second = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.until("document.querySelector('#problem').innerText === ''").await;
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    browser.reads("#tries", "3").await;
    browser.enter("#boxes", &second).await;
    browser.view("welcome").await;
    browser.close_after(&["422", "410"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_too_old_is_said_to_be_and_the_next_one_opens() {
    let (stack, browser) = page_with(AT_ONCE).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let first = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    stack.database.age(61).await;
    browser.enter("#boxes", &first).await;
    browser.complains("expired").await;
    browser.click("#resend").await;
    let second = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    browser.enter("#boxes", &second).await;
    browser.view("welcome").await;
    browser.close_after(&["410"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_no_mail_reaches_is_said_to_be_and_another_one_may_be_tried() {
    let (stack, browser) = page().await;
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.complains("undeliverable").await;
    assert_eq!(browser.evaluate("!document.querySelector('#ring').checkVisibility()").await, true);
    browser.click("#start-over").await;
    browser.view("sign-up").await;
    browser.until("document.querySelector('#problem').innerText === ''").await;
    browser.sign_up_and_activate(&stack, "ada@example.org").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_in_yet_is_told_when_logging_in() {
    let (stack, browser) = page().await;
    stack.sign_up(ADA).await;
    browser.click("#to-log-in").await;
    browser.log_in(ADA, "another horse battery").await;
    browser.complains("wrong-password").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.complains("not-activated").await;
    stack.database.age(61).await;
    browser.click("#to-activate").await;
    browser.view("code").await;
    let code = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    browser.close_after(&["401", "403"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_gone_is_said_to_be() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    stack.database.client().execute("DELETE FROM registrations", &[]).await.unwrap();
    browser.enter("#boxes", &code).await;
    browser.complains("no-such-registration").await;
    browser.close_after(&["401"]).await;
}
