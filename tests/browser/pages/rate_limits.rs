//! Rate limits and how the page reports them.

use crate::harness::views::{ADA, page, page_with};
use support::client::PASSWORD;

const BOB: &str = "bob@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn network_rate_limit_is_reported() {
    let (_stack, browser) = page_with(&[("REGISTRATIONS_PER_NETWORK_PER_HOUR", "1")]).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    browser.click("#start-over").await;
    browser.view("sign-up").await;
    browser.sign_up(BOB).await;
    browser.wait_for_problem("too-many-network").await;
    browser.view("sign-up").await;
    assert_eq!(
        browser.evaluate("document.querySelector('#email').value").await,
        BOB,
        "the page must keep the email address"
    );
    browser.close_after(&["429"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn email_address_rate_limit_is_reported() {
    let (stack, browser) = page_with(&[("RESEND_THROTTLE_SECONDS", "0"), ("CODES_PER_HOUR", "1")]).await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    stack.mail_server.mail_to(ADA).await;
    // The page knows the limit and disables the button.
    browser.wait_for_text("#resend-when", "min").await;
    assert_eq!(browser.evaluate("document.querySelector('#resend').disabled").await, true);
    // Another sign-up has used the only code of this email address.
    stack.sign_up(BOB).await;
    browser.click("#start-over").await;
    browser.view("sign-up").await;
    browser.sign_up(BOB).await;
    browser.wait_for_problem("too-many-address").await;
    browser.view("sign-up").await;
    browser.close_after(&["429"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_lockout_is_reported() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    while stack.client.login(ADA, "another horse battery").await.status != 429 {}
    browser.click("#to-log-in").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.wait_for_problem("too-many-account").await;
    browser.view("log-in").await;
    browser.close_after(&["429"]).await;
}
