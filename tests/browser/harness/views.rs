//! The views of the page (`GET /`), and what is the same in all tests of it.

use super::browser::Browser;
use support::{client::PASSWORD, stack::Stack};

pub(crate) const ADA: &str = "ada@example.com";

/// The page, before a service of its own with these settings.
pub(crate) async fn page_with(settings: &[(&str, &str)]) -> (Stack, Browser) {
    let stack = Stack::start_with(settings).await;
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/").await;
    browser.view("sign-up").await;
    (stack, browser)
}

pub(crate) async fn page() -> (Stack, Browser) {
    page_with(&[]).await
}

/// One that is certainly another.
pub(crate) fn wrong(code: &str) -> String {
    code.chars().map(|digit| if digit == '7' { '3' } else { '7' }).collect()
}

impl Browser {
    /// Waits until this view is shown, and no other.
    pub(crate) async fn view(&self, name: &str) {
        let shown = "[...document.querySelectorAll('[data-view]')].filter(view => !view.hidden)";
        self.until(&format!("{shown}.map(view => view.dataset.view).join() === '{name}'")).await;
    }

    pub(crate) async fn sign_up(&self, email: &str) {
        self.fill("#email", email).await;
        self.fill("#password", PASSWORD).await;
        self.click("#sign-up-go").await;
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) {
        self.fill("#log-in-email", email).await;
        self.fill("#log-in-password", password).await;
        self.click("#log-in-go").await;
    }

    /// Types a code into the boxes, each digit where the page has put the cursor. The last one sends it off.
    pub(crate) async fn enter(&self, boxes: &str, code: &str) {
        self.click(&format!("{boxes} input")).await;
        self.press(code).await;
    }

    /// Signs up, and comes in by the code of the mail.
    pub(crate) async fn sign_up_and_activate(&self, stack: &Stack, email: &str) {
        self.sign_up(email).await;
        self.view("code").await;
        let code = stack.mail_server.mail_to(email).await.code();
        self.until("document.querySelector('#ring:not([hidden])')").await;
        self.enter("#boxes", &code).await;
        self.view("welcome").await;
    }

    /// Waits until the page says one of its words there, by the name that the word has in it.
    pub(crate) async fn says(&self, selector: &str, word: &str) {
        let word = format!("document.querySelector('#words').content.querySelector('[data-word=\"{word}\"]')");
        // What is filled in is another thing each time.
        let is = format!(
            "document.querySelector('{selector}').innerText.startsWith({word}.textContent.split('{{')[0].trim())"
        );
        self.until(&is).await;
    }

    pub(crate) async fn complains(&self, word: &str) {
        self.says("#problem", word).await;
    }
}
