//! The page without a mouse.

use thirtyfour::Key;

use crate::harness::views::{ADA, page};
use support::client::PASSWORD;

const VALUES: &str = "[...document.querySelectorAll('#boxes input')].map(box => box.value || '_').join('')";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_only_keys_comes_in_and_out() {
    let (stack, browser) = page().await;
    browser.tab_to("#email").await;
    browser.press(ADA).await;
    browser.tab_to("#password").await;
    browser.press(PASSWORD).await;
    browser.press(Key::Enter).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    browser.has_focus("#boxes input:first-of-type").await;
    browser.press(code.as_str()).await;
    browser.view("welcome").await;
    // Whoever hears the page is told where they are.
    browser.until("document.activeElement.closest('[data-view=welcome]')").await;
    browser.tab_to("#delete").await;
    browser.press(Key::Enter).await;
    browser.until("document.querySelector('#confirm-delete').open").await;
    browser.press(Key::Escape).await;
    browser.until("!document.querySelector('#confirm-delete').open").await;
    browser.has_focus("#delete").await;
    browser.tab_to("#sign-out").await;
    browser.press(Key::Enter).await;
    browser.view("log-in").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_boxes_are_one_field_under_the_fingers() {
    let (_stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let nth = |n| format!("#boxes input:nth-of-type({n})");
    browser.has_focus(&nth(1)).await;
    browser.press("1x2").await;
    assert_eq!(browser.evaluate(VALUES).await, "12__", "a letter is no digit");
    browser.has_focus(&nth(3)).await;
    browser.press(Key::Backspace).await;
    assert_eq!(browser.evaluate(VALUES).await, "1___");
    browser.has_focus(&nth(2)).await;
    browser.press(Key::Left).await;
    browser.has_focus(&nth(1)).await;
    browser.press("9").await;
    assert_eq!(browser.evaluate(VALUES).await, "9___", "typed over");
    browser.has_focus(&nth(2)).await;
    browser.press(Key::Right).await;
    browser.has_focus(&nth(3)).await;
    browser.close().await;
}
