//! The language of the page: that of the browser, or the one that the user selects.

use crate::harness::{browser::Browser, driver::BrowserOptions, views::ADA};
use support::stack::Stack;

/// The language of the page.
const LANGUAGE: &str = "document.documentElement.lang";

/// Starts a service and opens a path in a browser with these preferred languages.
async fn page_in(languages: &'static str, path: &str) -> (Stack, Browser) {
    let stack = Stack::start().await;
    let browser = Browser::start_with(stack.client.base(), BrowserOptions { languages }).await;
    browser.goto(path).await;
    (stack, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn page_and_mail_use_the_language_of_the_browser() {
    let (stack, browser) = page_in("fr-CA,fr,en", "/").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "fr");
    browser.sign_up_and_activate(&stack, ADA).await;
    assert_eq!(stack.mail_server.mail_to(ADA).await.subject, "Votre code d’inscription");
    let text = browser.evaluate("document.body.innerText").await;
    assert!(!text.as_str().unwrap().contains("Sign out"), "{text}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selected_language_overrides_the_browser() {
    let (stack, browser) = page_in("en", "/").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "en");
    browser.click("#language a[hreflang=fr]").await;
    browser.until(&format!("{LANGUAGE} === 'fr'")).await;
    browser.until("document.querySelector('#language a[hreflang=fr]').ariaCurrent").await;
    browser.sign_up_and_activate(&stack, ADA).await;
    assert_eq!(
        stack.mail_server.mail_to(ADA).await.subject,
        "Votre code d’inscription",
        "the mail must be in the language of the page"
    );
    browser.goto("/?lang=en").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "en");
    browser.goto("/?lang=qaa").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "en");
    browser.close().await;
}
