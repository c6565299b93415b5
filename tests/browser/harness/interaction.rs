//! User interaction: finding, clicking, typing and reading elements.

use thirtyfour::{By, Key, TypingData, WebElement};

use super::browser::Browser;

impl Browser {
    /// Waits until the element is visible.
    pub(crate) async fn find(&self, selector: &str) -> WebElement {
        let quoted = serde_json::to_string(selector).unwrap();
        self.until(&format!("document.querySelector({quoted}).checkVisibility({{visibilityProperty: true}})")).await;
        self.web.find(By::Css(selector)).await.unwrap()
    }

    /// Clicks the element once it is visible and does not move.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        element.scroll_into_view().await.unwrap();
        self.wait_until_still(selector).await;
        element.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Waits until the element does not move any more: a click on a moving element would miss it.
    async fn wait_until_still(&self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        let position =
            format!("(({{ x, y }}) => x + ' ' + y)(document.querySelector({quoted}).getBoundingClientRect())");
        let script = format!(
            "new Promise(done => {{
                 let last, times = 0;
                 const poll = () => {{
                     const position = {position};
                     times = position === last ? times + 1 : 0;
                     last = position;
                     if (times === 3) done(true); else setTimeout(poll, 50);
                 }};
                 poll();
             }})"
        );
        self.evaluate(&script).await;
    }

    /// Replaces the text of the field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// The visible text of the element.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    /// Waits until the visible text of the element contains this text.
    pub(crate) async fn wait_for_text(&self, selector: &str, text: &str) {
        let selector = serde_json::to_string(selector).unwrap();
        let text = serde_json::to_string(text).unwrap();
        self.until(&format!("document.querySelector({selector}).innerText.includes({text})")).await;
    }

    /// Presses keys one after the other, each in the element that has the focus at that moment.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) {
        self.web.action_chain().send_keys(keys).perform().await.unwrap();
    }

    /// Presses a key together with Ctrl.
    pub(crate) async fn press_control(&self, key: char) {
        self.web.action_chain().key_down(Key::Control).send_keys(key).key_up(Key::Control).perform().await.unwrap();
    }

    /// Presses Tab until the element has the focus.
    pub(crate) async fn tab_to(&self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        for _ in 0..20 {
            self.press(Key::Tab).await;
            if self.evaluate(&format!("document.activeElement.matches({quoted})")).await == true {
                return;
            }
        }
        panic!("{selector} cannot be reached by Tab");
    }

    /// Waits until the element has the focus.
    pub(crate) async fn wait_for_focus(&self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        self.until(&format!("document.activeElement.matches({quoted})")).await;
    }
}
