//! Finds forbidden behaviour of a page: errors in the browser console, and requests to other hosts.

use serde_json::Value;
use thirtyfour::{BrowserLogEntry, WebDriver};

/// A description of everything that the pages did and must not do; empty if there is nothing.
///
/// The browser also logs a response of 4xx or 5xx, and an unreachable server, as an error of the page: network errors
/// that contain one of the words of `expected` are ignored.
pub(crate) async fn page_errors(driver: &WebDriver, base: &str, expected: &[&str]) -> Vec<String> {
    let console = driver.get_log("browser").await.unwrap();
    let mut page_errors: Vec<_> = console.iter().filter_map(|entry| page_error(entry, expected)).collect();
    for entry in driver.get_log("performance").await.unwrap() {
        let event: Value = serde_json::from_str(&entry.message).unwrap();
        let message = &event["message"];
        if message["method"] == "Network.requestWillBeSent" {
            let url = message["params"]["request"]["url"].as_str().unwrap();
            if !is_allowed(url, base) {
                page_errors.push(format!("a request to {url}"));
            }
        }
    }
    page_errors
}

fn page_error(entry: &BrowserLogEntry, expected: &[&str]) -> Option<String> {
    let source = entry.source.as_deref().unwrap_or_default();
    let is_expected = source == "network" && expected.iter().any(|word| entry.message.contains(word));
    let is_harmless = matches!(entry.level.as_str(), "INFO" | "DEBUG" | "FINE") && source != "security";
    (!is_expected && !is_harmless).then(|| format!("{} {source}: {}", entry.level, entry.message))
}

fn is_allowed(url: &str, base: &str) -> bool {
    let rest = url.strip_prefix("blob:").unwrap_or(url).strip_prefix(base);
    // The browser loads its own start page first.
    url.starts_with("data:")
        || url.starts_with("chrome://")
        || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
