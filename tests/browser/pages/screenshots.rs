//! The screenshots of the README (`make screenshots`). They are saved only if SCREENSHOTS names a directory.

use std::path::PathBuf;

use serde_json::json;

use crate::harness::{
    browser::Browser,
    views::{ADA, page},
};
use support::{client::PASSWORD, stack::Stack};

/// Takes a screenshot of the current view.
async fn take(browser: &Browser, name: &str) {
    browser.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
    browser.evaluate("scrollTo(0, 0)").await;
    // Wait for running animations to end.
    browser.until("document.getAnimations().every(moves => moves.playState !== 'running')").await;
    let png = browser.web.screenshot_as_png().await.unwrap();
    if let Some(folder) = std::env::var_os("SCREENSHOTS").map(PathBuf::from) {
        std::fs::write(folder.join(name).with_extension("png"), png).unwrap();
    }
}

/// Waits until the countdown has visibly progressed, and returns the code.
async fn wait_for_countdown(stack: &Stack, browser: &Browser) -> String {
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("Number(document.querySelector('#ring:not([hidden])').dataset.left) < 57").await;
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn screenshots_of_sign_up_code_and_account() {
    let (stack, browser) = page().await;
    browser.resize(1100, 800).await;
    browser.prefers(&[("prefers-color-scheme", "light"), ("prefers-reduced-motion", "reduce")]).await;
    browser.fill("#email", ADA).await;
    browser.fill("#password", PASSWORD).await;
    take(&browser, "sign-up").await;
    browser.click("#sign-up-go").await;
    let code = wait_for_countdown(&stack, &browser).await;
    browser.enter("#boxes", &code[..2]).await;
    take(&browser, "code").await;
    browser.press(&code[2..]).await;
    browser.view("welcome").await;
    take(&browser, "welcome").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn screenshot_of_a_phone_in_dark_mode_in_french() {
    let (stack, browser) = page().await;
    browser.resize(390, 844).await;
    browser.prefers(&[("prefers-color-scheme", "dark"), ("prefers-reduced-motion", "reduce")]).await;
    browser.goto("/?lang=fr").await;
    browser.sign_up(ADA).await;
    wait_for_countdown(&stack, &browser).await;
    take(&browser, "code-fr-dark").await;
    browser.close().await;
}
