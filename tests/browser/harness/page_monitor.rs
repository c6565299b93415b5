//! What a browser did beside what it showed: what it complained of, and whom it talked to.

use serde_json::Value;
use thirtyfour::{BrowserLogEntry, WebDriver};

/// Everything that no page of ours may do, in words; nothing if all is well. A browser calls an answer of 4xx or 5xx, and a
/// server that is away, an error of the page: those that `expected` names in a word are none.
pub(crate) async fn complaints(driver: &WebDriver, base: &str, expected: &[&str]) -> Vec<String> {
    let console = driver.get_log("browser").await.unwrap();
    let mut complaints: Vec<_> = console.iter().filter_map(|entry| complaint(entry, expected)).collect();
    for entry in driver.get_log("performance").await.unwrap() {
        let event: Value = serde_json::from_str(&entry.message).unwrap();
        let (name, of) = (&event["message"]["method"], &event["message"]["params"]);
        if name == "Network.requestWillBeSent" {
            let url = of["request"]["url"].as_str().unwrap();
            if !is_ours(url, base) {
                complaints.push(format!("a request to {url}"));
            }
        }
    }
    complaints
}

fn complaint(entry: &BrowserLogEntry, expected: &[&str]) -> Option<String> {
    let source = entry.source.as_deref().unwrap_or_default();
    let is_expected = source == "network" && expected.iter().any(|word| entry.message.contains(word));
    let is_harmless = matches!(entry.level.as_str(), "INFO" | "DEBUG" | "FINE") && source != "security";
    (!is_expected && !is_harmless).then(|| format!("{} {source}: {}", entry.level, entry.message))
}

fn is_ours(url: &str, base: &str) -> bool {
    let rest = url.strip_prefix("blob:").unwrap_or(url).strip_prefix(base);
    // What the browser shows before the first page is its own.
    url.starts_with("data:")
        || url.starts_with("chrome://")
        || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
