//! The input boxes of the code: pasting, autofill and partial edits.

use serde_json::json;

use crate::harness::{
    browser::Browser,
    views::{ADA, page, wrong},
};
use support::stack::Stack;

/// The digits in the boxes.
const DIGITS: &str = "[...document.querySelectorAll('#boxes input')].map(box => box.value).join('')";

/// Signs up and returns the code from the mail, with the code view open.
async fn open_code_view() -> (Stack, Browser, String) {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    (stack, browser, code)
}

/// Pastes a text into the first box from the clipboard, with real key presses.
async fn paste(browser: &Browser, text: &str) {
    // Copied from a field that does not belong to the page.
    browser
        .evaluate(&format!(
            "{{ const source = document.createElement('textarea'); source.id = 'clipboard-source'; source.value = {};
                document.body.append(source); source.select(); }}",
            json!(text)
        ))
        .await;
    browser.press_control('a').await;
    browser.press_control('c').await;
    browser.evaluate("document.querySelector('#clipboard-source').remove()").await;
    browser.click("#boxes input").await;
    browser.press_control('v').await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pasted_code_may_contain_whitespace() {
    let (_stack, browser, code) = open_code_view().await;
    let (first, last) = code.split_at(2);
    paste(&browser, &format!(" {first} {last}\n")).await;
    browser.view("welcome").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn autofill_enters_the_whole_code() {
    let (_stack, browser, code) = open_code_view().await;
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
async fn text_without_a_code_is_not_submitted() {
    let (stack, browser, code) = open_code_view().await;
    paste(&browser, "no code at all").await;
    browser.press(&code[..3]).await;
    browser.click("#code-go").await;
    browser
        .until("document.querySelector('#boxes-error').innerText + document.querySelector('#problem').innerText")
        .await;
    let attempts = "SELECT sum(attempts) FROM codes";
    assert_eq!(stack.database.count(attempts).await, 0, "an attempt was counted");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_text_is_not_taken_for_a_code() {
    let (stack, browser, code) = open_code_view().await;
    for text in ["+33 6 12 34 56 78", "In 2026 your code was 1234."] {
        paste(&browser, text).await;
        browser.wait_for_message("#boxes-error", "incomplete").await;
        assert_eq!(browser.evaluate(DIGITS).await, "");
    }
    paste(&browser, &format!("Your code: {code}. It is valid for 60 s.")).await;
    browser.view("welcome").await;
    assert_eq!(
        stack.database.count("SELECT sum(attempts) FROM codes").await,
        1,
        "only the correct code may be submitted"
    );
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn editing_one_digit_does_not_resubmit_the_code() {
    let (stack, browser, code) = open_code_view().await;
    let first_activation_fails = "{ const real = window.fetch; window.activations = 0; window.fetch = (path, ...rest) =>
        path.endsWith('/activate') && window.activations++ < 1 ? Promise.reject(new TypeError()) : real(path, ...rest); }";
    browser.evaluate(first_activation_fails).await;
    browser.enter("#boxes", &wrong(&code)).await;
    browser.wait_for_problem("unreachable").await;
    browser.click("#boxes input:last-of-type").await;
    browser.press(&code[3..]).await;
    browser.until(&format!("{DIGITS} === '{}{}'", &wrong(&code)[..3], &code[3..])).await;
    assert_eq!(browser.evaluate("window.activations").await, 1);
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0, "an attempt was counted");
    // Entering all digits again submits the code.
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    browser.close().await;
}
