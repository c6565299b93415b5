//! The page in the language of the browser, or in the one that was asked for.

use crate::harness::{browser::Browser, driver::Form, views::ADA};
use support::stack::Stack;

const LANGUAGE: &str = "document.documentElement.lang";

async fn page_in(languages: &'static str, path: &str) -> (Stack, Browser) {
    let stack = Stack::start().await;
    let browser = Browser::start_as(stack.client.base(), Form { languages }).await;
    browser.goto(path).await;
    (stack, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_french_browser_is_spoken_to_in_french_and_so_is_who_asks_for_it() {
    let (stack, browser) = page_in("fr-CA,fr,en", "/").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "fr");
    browser.sign_up_and_activate(&stack, ADA).await;
    assert_eq!(stack.mail_server.mail_to(ADA).await.subject, "Votre code d’inscription");
    let problem = browser.evaluate("document.body.innerText").await;
    assert!(!problem.as_str().unwrap().contains("Sign out"), "{problem}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_chooses_a_language_has_it_whatever_the_browser_prefers() {
    let (stack, browser) = page_in("en", "/").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "en");
    browser.click("#language a[hreflang=fr]").await;
    browser.until(&format!("{LANGUAGE} === 'fr'")).await;
    browser.until("document.querySelector('#language a[hreflang=fr]').ariaCurrent").await;
    browser.sign_up_and_activate(&stack, ADA).await;
    assert_eq!(
        stack.mail_server.mail_to(ADA).await.subject,
        "Votre code d’inscription",
        "the mail is in the language of the page"
    );
    browser.goto("/?lang=en").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "en");
    browser.goto("/?lang=qaa").await;
    assert_eq!(browser.evaluate(LANGUAGE).await, "en");
    browser.close().await;
}
