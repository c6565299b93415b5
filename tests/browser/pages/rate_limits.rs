//! Limits, and what the page says of them.

use crate::harness::views::{ADA, page, page_with};
use support::client::PASSWORD;

const BOB: &str = "bob@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_has_had_its_share_is_told_so() {
    let (_stack, browser) = page_with(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "1")]).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.click("#start-over").await;
    browser.view("sign-up").await;
    browser.sign_up(BOB).await;
    browser.complains("too-many-network").await;
    browser.view("sign-up").await;
    assert_eq!(browser.evaluate("document.querySelector('#email').value").await, BOB, "nobody types it again");
    browser.close_after(&["429"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_has_had_its_codes_is_told_so() {
    let (stack, browser) = page_with(&[("RESEND_THROTTLE_SECONDS", "0"), ("CODES_PER_HOUR", "1")]).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    stack.mail_server.mail_to(ADA).await;
    // The page knows, and does not let anybody ask in vain.
    browser.reads("#resend-when", "min").await;
    assert_eq!(browser.evaluate("document.querySelector('#resend').disabled").await, true);
    // Whoever else signed up there had its only code.
    stack.sign_up(BOB).await;
    browser.click("#start-over").await;
    browser.view("sign-up").await;
    browser.sign_up(BOB).await;
    browser.complains("too-many-address").await;
    browser.view("sign-up").await;
    browser.close_after(&["429"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_guessed_at_too_often_is_locked_for_a_while() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    while stack.client.login(ADA, "another horse battery").await.status != 429 {}
    browser.click("#to-log-in").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.complains("too-many-account").await;
    browser.view("log-in").await;
    browser.close_after(&["429"]).await;
}
