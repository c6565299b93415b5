//! Accessibility and appearance: axe-core on every view, small and large screens, light and dark mode, reduced motion.

use serde_json::{Value, json};

use crate::harness::{
    browser::Browser,
    views::{ADA, page, wrong},
};
use support::client::PASSWORD;

/// WCAG 2.0 to 2.2, levels A and AA.
const RULES: [&str; 5] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

impl Browser {
    /// Sets the size of the viewport.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// Emulates media features such as `prefers-color-scheme`.
    pub(crate) async fn prefers(&self, preferences: &[(&str, &str)]) {
        let features: Vec<_> =
            preferences.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Asserts that the page fits the screen and passes axe-core, on small and large screens, in light and dark mode.
    pub(crate) async fn is_accessible(&self, view: &str) {
        for (width, height, scheme) in
            [(1280, 900, "light"), (320, 568, "dark"), (320, 568, "light"), (1280, 900, "dark")]
        {
            self.resize(width, height).await;
            // axe-core would judge elements that are still fading in.
            self.prefers(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]).await;
            let overflow = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth";
            assert_eq!(self.evaluate(overflow).await, 0, "{view} is wider than {width} pixels");
            self.passes_axe(&format!("{view}, {scheme}, {width}")).await;
        }
    }

    async fn passes_axe(&self, context: &str) {
        if self.evaluate("typeof axe").await == "undefined" {
            let path = std::env::var("AXE").expect("AXE is not set: run the tests with `make test-browser`");
            let source = std::fs::read_to_string(path).unwrap();
            self.evaluate(&format!("{{ {source}\n }}; 0")).await;
        }
        let options = json!({ "runOnly": RULES, "resultTypes": ["violations"] });
        let result = self.evaluate(&format!("axe.run(document, {options}).then(result => result.violations)")).await;
        let found: Vec<String> = result.as_array().unwrap().iter().flat_map(violations).collect();
        assert!(found.is_empty(), "{context}:\n{}", found.join("\n"));
    }
}

fn violations(rule: &Value) -> Vec<String> {
    let nodes = rule["nodes"].as_array().unwrap().iter();
    nodes.map(|node| format!("{}: {} {}", rule["id"], node["html"], node["failureSummary"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_up_views_are_accessible() {
    let (stack, browser) = page().await;
    browser.is_accessible("sign-up").await;
    browser.click("#sign-up-go").await;
    browser.until("document.querySelector('#email-error').innerText").await;
    browser.is_accessible("sign-up with errors").await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring').checkVisibility()").await;
    browser.is_accessible("code").await;
    browser.enter("#boxes", &wrong(&code)).await;
    browser.wait_for_text("#attempts", "2").await;
    browser.is_accessible("code after a wrong code").await;
    browser.close_after(&["422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_views_are_accessible() {
    let (stack, browser) = page().await;
    stack.sign_up_and_activate(ADA).await;
    browser.goto("/?lang=fr").await;
    browser.click("#to-log-in").await;
    browser.view("log-in").await;
    browser.is_accessible("log-in").await;
    browser.click("#to-forgot").await;
    browser.view("forgot").await;
    browser.is_accessible("forgot").await;
    browser.fill("#forgot-email", ADA).await;
    browser.click("#forgot-go").await;
    browser.view("reset").await;
    stack.mail_server.nth_mail_to(ADA, 3).await;
    browser.is_accessible("reset").await;
    browser.goto("/?lang=fr").await;
    browser.click("#to-log-in").await;
    browser.log_in(ADA, PASSWORD).await;
    browser.view("welcome").await;
    browser.is_accessible("welcome").await;
    browser.click("#delete").await;
    browser.until("document.querySelector('#confirm-delete').open").await;
    browser.is_accessible("deletion dialog").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reduced_motion_stops_all_animations() {
    let (stack, browser) = page().await;
    browser.prefers(&[("prefers-reduced-motion", "reduce")]).await;
    browser.goto("/").await;
    let moving = "document.getAnimations().filter(moves => moves.playState === 'running').length";
    assert_eq!(browser.evaluate(moving).await, 0);
    browser.sign_up(ADA).await;
    browser.view("code").await;
    stack.mail_server.mail_to(ADA).await;
    browser.until("document.querySelector('#ring').checkVisibility()").await;
    assert_eq!(browser.evaluate(moving).await, 0);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colour_scheme_follows_the_preference() {
    let (_stack, browser) = page().await;
    let sum =
        "getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0)";
    browser.prefers(&[("prefers-color-scheme", "light")]).await;
    let light = browser.evaluate(sum).await.as_f64().unwrap();
    browser.prefers(&[("prefers-color-scheme", "dark")]).await;
    let dark = browser.evaluate(sum).await.as_f64().unwrap();
    assert!(light > 600.0 && dark < 200.0, "{light} {dark}");
    browser.close().await;
}
