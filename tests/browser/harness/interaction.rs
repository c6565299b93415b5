//! What a person does with a browser: looks, clicks, types.

use thirtyfour::{By, Key, TypingData, WebElement};

use super::browser::Browser;

impl Browser {
    /// Waits until somebody could click it, or type there.
    pub(crate) async fn find(&self, selector: &str) -> WebElement {
        let quoted = serde_json::to_string(selector).unwrap();
        self.until(&format!("document.querySelector({quoted}).checkVisibility({{visibilityProperty: true}})")).await;
        self.web.find(By::Css(selector)).await.unwrap()
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        element.scroll_into_view().await.unwrap();
        self.rests(selector).await;
        element.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// What is still on its way to another place is not hit.
    async fn rests(&self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        let place = format!("(({{ x, y }}) => x + ' ' + y)(document.querySelector({quoted}).getBoundingClientRect())");
        let script = format!(
            "new Promise(done => {{
                 let last, times = 0;
                 const look = () => {{
                     const place = {place};
                     times = place === last ? times + 1 : 0;
                     last = place;
                     if (times === 3) done(true); else setTimeout(look, 50);
                 }};
                 look();
             }})"
        );
        self.evaluate(&script).await;
    }

    /// Over what was there.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// What can be read there.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    /// Waits until this can be read there, in whatever company.
    pub(crate) async fn reads(&self, selector: &str, words: &str) {
        let (at, words) = (serde_json::to_string(selector).unwrap(), serde_json::to_string(words).unwrap());
        self.until(&format!("document.querySelector({at}).innerText.includes({words})")).await;
    }

    /// Keys, one after the other, wherever the focus is by then.
    pub(crate) async fn press(&self, keys: impl Into<TypingData>) {
        self.web.action_chain().send_keys(keys).perform().await.unwrap();
    }

    pub(crate) async fn press_control(&self, key: char) {
        self.web.action_chain().key_down(Key::Control).send_keys(key).key_up(Key::Control).perform().await.unwrap();
    }

    /// Goes on by Tab until this has the focus.
    pub(crate) async fn tab_to(&self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        for _ in 0..20 {
            self.press(Key::Tab).await;
            if self.evaluate(&format!("document.activeElement.matches({quoted})")).await == true {
                return;
            }
        }
        panic!("{selector} is not to be reached by Tab");
    }

    pub(crate) async fn has_focus(&self, selector: &str) {
        let quoted = serde_json::to_string(selector).unwrap();
        self.until(&format!("document.activeElement.matches({quoted})")).await;
    }
}
