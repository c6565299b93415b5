//! The page behind the link of a mail, and its button.

use crate::harness::browser::Browser;
use support::stack::Stack;

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn the_button_behind_the_link_of_a_mail_closes_the_registration() {
    let stack = Stack::start().await;
    let browser = Browser::start(stack.client.base()).await;
    let (registration, _) = stack.sign_up(ADA).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    // The link leads to the address that is set, which a test does not have.
    let token = mail.text.lines().find_map(|line| line.strip_prefix("http://localhost:8000/not-me/")).unwrap();
    browser.goto(&format!("/not-me/{token}")).await;
    assert_eq!(browser.text("h1").await, "Was this not you?");
    browser.is_for_everybody("the question").await;
    browser.click("button").await;
    browser.reads("h1", "The sign-up is closed").await;
    browser.is_for_everybody("the answer").await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");
    browser.close().await;
}
