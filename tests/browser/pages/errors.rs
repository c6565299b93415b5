//! Errors during sign-up, activation and sign-in: the page shows what happened and what to do next.

use crate::harness::views::{ADA, page, page_with, wrong};
use support::{
    client::PASSWORD,
    fake_smtp::behaviour::{Behaviour, Stage},
};

/// Allows a new code at once.
const RESEND_AT_ONCE: &[(&str, &str)] = &[("RESEND_THROTTLE_SECONDS", "0")];

#[tokio::test(flavor = "multi_thread")]
async fn invalid_fields_show_their_errors() {
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
        browser.wait_for_focus(&format!("#{field}")).await;
        let described = format!("document.querySelector('#{field}').getAttribute('aria-describedby')");
        assert!(browser.evaluate(&described).await.as_str().unwrap().contains(&format!("{field}-error")));
    }
    // The error of a corrected field is cleared.
    assert_eq!(browser.evaluate("document.querySelector('#email-error').innerText").await, "");
    assert_eq!(stack.mail_server.count(), 0);
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.close_after(&["422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_count_down_the_attempts() {
    let (stack, browser) = page_with(RESEND_AT_ONCE).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let first = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    for left in ["2", "1"] {
        browser.enter("#boxes", &wrong(&first)).await;
        browser.wait_for_text("#attempts", left).await;
        browser.wait_for_problem("wrong-code").await;
        browser.until("[...document.querySelectorAll('#boxes input')].every(box => !box.value)").await;
    }
    browser.enter("#boxes", &wrong(&first)).await;
    browser.wait_for_problem("exhausted").await;
    browser.click("#resend").await;
    let second = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.until("document.querySelector('#problem').innerText === ''").await;
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    browser.wait_for_text("#attempts", "3").await;
    browser.enter("#boxes", &second).await;
    browser.view("welcome").await;
    browser.close_after(&["422", "410"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_code_is_rejected_and_the_next_one_accepted() {
    let (stack, browser) = page_with(RESEND_AT_ONCE).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let first = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    stack.database.age(61).await;
    browser.enter("#boxes", &first).await;
    browser.wait_for_problem("expired").await;
    browser.click("#resend").await;
    let second = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    browser.enter("#boxes", &second).await;
    browser.view("welcome").await;
    browser.close_after(&["410"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undeliverable_address_is_reported_and_can_be_changed() {
    let (stack, browser) = page().await;
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.wait_for_problem("undeliverable").await;
    assert_eq!(browser.evaluate("!document.querySelector('#ring').checkVisibility()").await, true);
    browser.click("#start-over").await;
    browser.view("sign-up").await;
    browser.until("document.querySelector('#problem').innerText === ''").await;
    browser.sign_up_and_activate(&stack, "ada@example.org").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_before_activation_offers_a_new_code() {
    let (stack, browser) = page().await;
    stack.sign_up(ADA).await;
    browser.click("#to-log-in").await;
    browser.log_in(ADA, "another horse battery").await;
    browser.wait_for_problem("wrong-password").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.wait_for_problem("not-activated").await;
    stack.database.age(61).await;
    browser.click("#to-activate").await;
    browser.view("code").await;
    let code = stack.mail_server.nth_mail_to(ADA, 2).await.code();
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    browser.close_after(&["401", "403"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_registration_is_reported() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    stack.database.client().execute("DELETE FROM registrations", &[]).await.unwrap();
    browser.enter("#boxes", &code).await;
    browser.wait_for_problem("no-such-registration").await;
    browser.close_after(&["401"]).await;
}
