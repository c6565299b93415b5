//! A Chromium instance for one test. Closing it fails the test if the pages did anything forbidden.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::WebDriver;

use super::{
    driver::{BrowserOptions, Driver},
    evidence, page_monitor,
};
use support::database::run_cleanup;

/// How long a test waits for a condition that should hold within milliseconds.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// A running browser. Every test ends with [`Browser::close`] or [`Browser::close_after`].
pub(crate) struct Browser {
    pub(crate) web: WebDriver,
    /// The base URL of the service.
    base: String,
    driver: Driver,
    /// The process id of Chromium, until it has ended.
    chromium: Option<i32>,
    is_closed: bool,
}

impl Browser {
    /// Starts a browser with the default options; paths are relative to `base`.
    pub(crate) async fn start(base: &str) -> Self {
        Self::start_with(base, BrowserOptions::default()).await
    }

    /// Starts a browser with these options.
    pub(crate) async fn start_with(base: &str, options: BrowserOptions) -> Self {
        let driver = Driver::start().await;
        let web = WebDriver::new(&driver.url, driver.capabilities(options)).await.unwrap();
        let id = web.handle().capabilities().get("goog:processID").and_then(Value::as_i64);
        let chromium = id.and_then(|id| i32::try_from(id).ok());
        Self { web, base: base.to_owned(), driver, chromium, is_closed: false }
    }

    /// Loads a path of the service.
    pub(crate) async fn goto(&self, path: &str) {
        self.web.goto(format!("{}{path}", self.base)).await.unwrap();
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.web.cdp().send_raw(command, parameters).await.unwrap()
    }

    /// Evaluates a JavaScript expression in the page; the Content-Security-Policy of the page does not apply to it.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.devtools("Runtime.evaluate", parameters).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until a JavaScript expression in the page is true, also across navigations. The browser polls it, not the
    /// test.
    pub(crate) async fn until(&self, expression: &str) {
        let script = format!(
            "new Promise(done => {{
                 const end = performance.now() + 5000;
                 const poll = () => {{
                     let isTrue;
                     try {{ isTrue = {expression} }} catch {{}}
                     if (isTrue || performance.now() > end) done(!!isTrue); else setTimeout(poll, 25);
                 }};
                 poll();
             }})"
        );
        let parameters = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let wait = async {
            loop {
                let answer = self.web.cdp().send_raw("Runtime.evaluate", parameters.clone()).await;
                if answer.is_ok_and(|answer| answer["result"]["value"] == true) {
                    return;
                }
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, wait).await.unwrap_or_else(|_| panic!("timed out waiting for {expression}"));
    }

    /// Ends the test: the browser reported no error, and the pages sent no request to another host.
    pub(crate) async fn close(self) {
        self.close_after(&[]).await;
    }

    /// Like [`Browser::close`], but ignores network errors that contain one of these words: "422",
    /// "ERR_CONNECTION_REFUSED".
    pub(crate) async fn close_after(self, expected: &[&str]) {
        let page_errors = self.page_errors(expected).await;
        assert!(page_errors.is_empty(), "{page_errors:#?}");
        self.quit().await;
    }

    /// The browser errors and forbidden requests so far, without the expected network errors.
    pub(crate) async fn page_errors(&self, expected: &[&str]) -> Vec<String> {
        page_monitor::page_errors(&self.web, &self.base, expected).await
    }

    /// Closes the browser without looking at its errors.
    pub(crate) async fn quit(mut self) {
        self.web.clone().quit().await.unwrap();
        // Chromium has ended, and another process may have its process id by now.
        self.chromium = None;
        self.is_closed = true;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed && !self.is_closed {
            let session = format!("{}/session/{}", self.driver.url, self.web.handle().session_id());
            let test = std::thread::current().name().unwrap_or("a-test").replace("::", ".");
            run_cleanup(async move { evidence::save(&session, &test).await });
        }
        self.driver.end(self.chromium);
        assert!(failed || self.is_closed, "a browser test must end with close()");
    }
}
