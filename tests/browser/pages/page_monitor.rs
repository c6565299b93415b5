//! Checks the page monitor itself: it must detect errors and forbidden requests.

use serde_json::json;

use crate::harness::browser::Browser;
use support::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn page_monitor_reports_errors_and_foreign_requests() {
    let stack = Stack::start().await;
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/docs").await;
    assert_eq!(browser.page_errors(&["/favicon.ico"]).await, [""; 0]);

    let other_port = stack.mail_server.port();
    browser.evaluate("console.error('a word')").await;
    browser.evaluate("fetch('/v1/nothing').then(() => 0)").await;
    browser.evaluate(&format!("fetch('http://127.0.0.1:{other_port}/').catch(() => 0)")).await;
    browser.devtools("Page.setBypassCSP", json!({ "enabled": true })).await;
    browser.goto("/health").await;
    browser.evaluate(&format!("fetch('http://127.0.0.1:{other_port}/').catch(() => 0)")).await;
    let reported = browser.page_errors(&[]).await.join("\n");
    for word in ["a word", "404", "Content Security Policy", &format!("a request to http://127.0.0.1:{other_port}/")] {
        assert!(reported.contains(word), "{word} is not in:\n{reported}");
    }
    browser.quit().await;
}
