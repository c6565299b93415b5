//! The web app (`GET /`): starts a service and opens it, waits for its views and fills in its forms.

use super::browser::Browser;
use support::{client::PASSWORD, stack::Stack};

pub(crate) const ADA: &str = "ada@example.com";

/// Starts a service with these settings and opens its web app.
pub(crate) async fn page_with(settings: &[(&str, &str)]) -> (Stack, Browser) {
    let stack = Stack::start_with(settings).await;
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/").await;
    browser.view("sign-up").await;
    (stack, browser)
}

/// Starts a service with the default settings and opens its web app.
pub(crate) async fn page() -> (Stack, Browser) {
    page_with(&[]).await
}

/// A code of the same length with every digit changed.
pub(crate) fn wrong(code: &str) -> String {
    code.chars().map(|digit| if digit == '7' { '3' } else { '7' }).collect()
}

impl Browser {
    /// Waits until this view is shown, and no other.
    pub(crate) async fn view(&self, name: &str) {
        let shown = "[...document.querySelectorAll('[data-view]')].filter(view => !view.hidden)";
        self.until(&format!("{shown}.map(view => view.dataset.view).join() === '{name}'")).await;
    }

    /// Submits the sign-up form.
    pub(crate) async fn sign_up(&self, email: &str) {
        self.fill("#email", email).await;
        self.fill("#password", PASSWORD).await;
        self.click("#sign-up-go").await;
    }

    /// Submits the sign-in form.
    pub(crate) async fn log_in(&self, email: &str, password: &str) {
        self.fill("#log-in-email", email).await;
        self.fill("#log-in-password", password).await;
        self.click("#log-in-go").await;
    }

    /// Types a code into its input boxes; the page moves the focus from box to box. The last digit submits the code.
    pub(crate) async fn enter(&self, boxes: &str, code: &str) {
        self.click(&format!("{boxes} input")).await;
        self.press(code).await;
    }

    /// Signs up and activates the account with the code from the mail.
    pub(crate) async fn sign_up_and_activate(&self, stack: &Stack, email: &str) {
        self.sign_up(email).await;
        self.view("code").await;
        let code = stack.mail_server.mail_to(email).await.code();
        self.until("document.querySelector('#ring:not([hidden])')").await;
        self.enter("#boxes", &code).await;
        self.view("welcome").await;
    }

    /// Waits until the element shows one of the texts of the web app, given by its `data-message` name.
    pub(crate) async fn wait_for_message(&self, selector: &str, message: &str) {
        let message =
            format!("document.querySelector('#messages').content.querySelector('[data-message=\"{message}\"]')");
        // The placeholders have different values each time, so only the text before the first one is compared.
        let shows_message = format!(
            "document.querySelector('{selector}').innerText.startsWith({message}.textContent.split('{{')[0].trim())"
        );
        self.until(&shows_message).await;
    }

    /// Waits until the error message of the page is this text.
    pub(crate) async fn wait_for_problem(&self, message: &str) {
        self.wait_for_message("#problem", message).await;
    }
}
