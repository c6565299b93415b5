//! A code that comes into the boxes in one piece.

use serde_json::json;

use crate::harness::{
    browser::Browser,
    views::{ADA, page, wrong},
};
use support::stack::Stack;

const ROW: &str = "[...document.querySelectorAll('#boxes input')].map(box => box.value).join('')";

/// Signed up, with the code of the mail.
async fn before_the_boxes() -> (Stack, Browser, String) {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    (stack, browser, code)
}

/// By real keys, from the clipboard.
async fn paste(browser: &Browser, text: &str) {
    // Copied from elsewhere: from a field that is not the page's.
    browser
        .evaluate(&format!(
            "{{ const other = document.createElement('textarea'); other.id = 'elsewhere'; other.value = {};
                document.body.append(other); other.select(); }}",
            json!(text)
        ))
        .await;
    browser.press_control('a').await;
    browser.press_control('c').await;
    browser.evaluate("document.querySelector('#elsewhere').remove()").await;
    browser.click("#boxes input").await;
    browser.press_control('v').await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_pasted_however_it_was_copied() {
    let (_stack, browser, code) = before_the_boxes().await;
    let (first, last) = code.split_at(2);
    paste(&browser, &format!(" {first} {last}\n")).await;
    browser.view("welcome").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_fills_in_the_whole_code_at_once() {
    let (_stack, browser, code) = before_the_boxes().await;
    let first = "document.querySelector('#boxes input[autocomplete=\"one-time-code\"]')";
    assert_eq!(browser.evaluate(&format!("{first} === document.querySelector('#boxes input')")).await, true);
    assert_eq!(browser.evaluate(&format!("{first}.inputMode")).await, "numeric");
    let fill = format!(
        "{{ const first = {first}; first.focus(); first.value = '{code}';
        first.dispatchEvent(new InputEvent('input', {{ bubbles: true, inputType: 'insertReplacementText' }})); }}"
    );
    browser.evaluate(&fill).await;
    browser.view("welcome").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_code_is_not_sent() {
    let (stack, browser, code) = before_the_boxes().await;
    paste(&browser, "no code at all").await;
    browser.press(&code[..3]).await;
    browser.click("#code-go").await;
    browser
        .until("document.querySelector('#boxes-error').innerText + document.querySelector('#problem').innerText")
        .await;
    let tries = "SELECT sum(attempts) FROM codes";
    assert_eq!(stack.database.count(tries).await, 0, "no try was spent");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_something_else_is_no_code() {
    let (stack, browser, code) = before_the_boxes().await;
    for text in ["+33 6 12 34 56 78", "In 2026 your code was 1234."] {
        paste(&browser, text).await;
        browser.says("#boxes-error", "incomplete").await;
        assert_eq!(browser.evaluate(ROW).await, "");
    }
    paste(&browser, &format!("Your code: {code}. It is good for 60 s.")).await;
    browser.view("welcome").await;
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 1, "the right one, and no other");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_mended_in_one_place_is_not_sent_by_itself() {
    let (stack, browser, code) = before_the_boxes().await;
    let away = "{ const real = window.fetch; window.tries = 0; window.fetch = (path, ...rest) =>
        path.endsWith('/activate') && window.tries++ < 1 ? Promise.reject(new TypeError()) : real(path, ...rest); }";
    browser.evaluate(away).await;
    browser.enter("#boxes", &wrong(&code)).await;
    browser.complains("unreachable").await;
    browser.click("#boxes input:last-of-type").await;
    browser.press(&code[3..]).await;
    browser.until(&format!("{ROW} === '{}{}'", &wrong(&code)[..3], &code[3..])).await;
    assert_eq!(browser.evaluate("window.tries").await, 1);
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0, "no try was spent");
    // All of it anew is a code again.
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    browser.close().await;
}
