//! Keyboard operation.

use thirtyfour::Key;

use crate::harness::views::{ADA, page};
use support::client::PASSWORD;

/// The digits in the boxes, with `_` for an empty box.
const VALUES: &str = "[...document.querySelectorAll('#boxes input')].map(box => box.value || '_').join('')";

#[tokio::test(flavor = "multi_thread")]
async fn user_signs_up_and_out_with_the_keyboard_only() {
    let (stack, browser) = page().await;
    browser.tab_to("#email").await;
    browser.press(ADA).await;
    browser.tab_to("#password").await;
    browser.press(PASSWORD).await;
    browser.press(Key::Enter).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    browser.wait_for_focus("#boxes input:first-of-type").await;
    browser.press(code.as_str()).await;
    browser.view("welcome").await;
    // The focus is in the new view, so that screen readers announce it.
    browser.until("document.activeElement.closest('[data-view=welcome]')").await;
    browser.tab_to("#delete").await;
    browser.press(Key::Enter).await;
    browser.until("document.querySelector('#confirm-delete').open").await;
    browser.press(Key::Escape).await;
    browser.until("!document.querySelector('#confirm-delete').open").await;
    browser.wait_for_focus("#delete").await;
    browser.tab_to("#sign-out").await;
    browser.press(Key::Enter).await;
    browser.view("log-in").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_boxes_behave_like_one_field() {
    let (_stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let nth = |n| format!("#boxes input:nth-of-type({n})");
    browser.wait_for_focus(&nth(1)).await;
    browser.press("1x2").await;
    assert_eq!(browser.evaluate(VALUES).await, "12__", "letters are ignored");
    browser.wait_for_focus(&nth(3)).await;
    browser.press(Key::Backspace).await;
    assert_eq!(browser.evaluate(VALUES).await, "1___");
    browser.wait_for_focus(&nth(2)).await;
    browser.press(Key::Left).await;
    browser.wait_for_focus(&nth(1)).await;
    browser.press("9").await;
    assert_eq!(browser.evaluate(VALUES).await, "9___", "a digit replaces the one in its box");
    browser.wait_for_focus(&nth(2)).await;
    browser.press(Key::Right).await;
    browser.wait_for_focus(&nth(3)).await;
    browser.close().await;
}
