//! A Chromium of one test's own, which is looked through when the test ends.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::WebDriver;

use super::{
    driver::{Driver, Form},
    evidence, page_monitor,
};
use support::database::finish;

/// How long a test waits for something that should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Browser {
    pub(crate) web: WebDriver,
    /// Where the pages come from.
    base: String,
    driver: Driver,
    chromium: Option<i32>,
    is_closed: bool,
}

impl Browser {
    pub(crate) async fn start(base: &str) -> Self {
        Self::start_as(base, Form::default()).await
    }

    pub(crate) async fn start_as(base: &str, form: Form) -> Self {
        let driver = Driver::start().await;
        let web = WebDriver::new(&driver.url, driver.capabilities(form)).await.unwrap();
        let id = web.handle().capabilities().get("goog:processID").and_then(Value::as_i64);
        let chromium = id.and_then(|id| i32::try_from(id).ok());
        Self { web, base: base.to_owned(), driver, chromium, is_closed: false }
    }

    pub(crate) async fn goto(&self, path: &str) {
        self.web.goto(format!("{}{path}", self.base)).await.unwrap();
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.web.cdp().send_raw(command, parameters).await.unwrap()
    }

    /// The value of an expression in the page. No policy of the page is in its way.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.devtools("Runtime.evaluate", asked).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true, and through changes of the page. It is the browser that looks again.
    pub(crate) async fn until(&self, expression: &str) {
        let script = format!(
            "new Promise(done => {{
                 const end = performance.now() + 5000;
                 const look = () => {{
                     let is;
                     try {{ is = {expression} }} catch {{}}
                     if (is || performance.now() > end) done(!!is); else setTimeout(look, 25);
                 }};
                 look();
             }})"
        );
        let asked = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let wait = async {
            loop {
                let answer = self.web.cdp().send_raw("Runtime.evaluate", asked.clone()).await;
                if answer.is_ok_and(|answer| answer["result"]["value"] == true) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {expression}"));
    }

    /// Every test ends so: nobody complained, and nobody but us was talked to.
    pub(crate) async fn close(self) {
        self.close_after(&[]).await;
    }

    /// The same after answers that the browser complains of, each named in a word: "422", "ERR_CONNECTION_REFUSED".
    pub(crate) async fn close_after(self, expected: &[&str]) {
        let complaints = self.complaints(expected).await;
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.quit().await;
    }

    pub(crate) async fn complaints(&self, expected: &[&str]) -> Vec<String> {
        page_monitor::complaints(&self.web, &self.base, expected).await
    }

    pub(crate) async fn quit(mut self) {
        self.web.clone().quit().await.unwrap();
        // Its process has ended, and the number may be somebody else's by now.
        (self.chromium, self.is_closed) = (None, true);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed && !self.is_closed {
            let session = format!("{}/session/{}", self.driver.url, self.web.handle().session_id());
            let test = std::thread::current().name().unwrap_or("a-test").replace("::", ".");
            finish(async move { evidence::keep(&session, &test).await });
        }
        self.driver.end(self.chromium);
        assert!(failed || self.is_closed, "a test of a browser ends with close()");
    }
}
