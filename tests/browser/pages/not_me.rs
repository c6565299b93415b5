//! The page behind the not-me link of a code mail, and its button.

use crate::harness::browser::Browser;
use support::stack::Stack;

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn not_me_button_closes_the_registration() {
    let stack = Stack::start().await;
    let browser = Browser::start(stack.client.base()).await;
    let (registration, _) = stack.sign_up(ADA).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    // The link has the configured public URL, which is not the address of the service under test.
    let token = mail.text.lines().find_map(|line| line.strip_prefix("http://localhost:8000/not-me/")).unwrap();
    browser.goto(&format!("/not-me/{token}")).await;
    assert_eq!(browser.text("h1").await, "Was this not you?");
    browser.is_accessible("not-me question").await;
    browser.click("button").await;
    browser.wait_for_text("h1", "The sign-up is closed").await;
    browser.is_accessible("not-me confirmation").await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");
    browser.close().await;
}
