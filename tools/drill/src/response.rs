//! A response of the instance, as far as an attacker can interpret it.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A complete response and how long it took.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) duration: Duration,
}

impl Response {
    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The last path segment of a problem's `type`, such as `wrong-code`.
    pub(crate) fn slug(&self) -> String {
        let body = self.json();
        body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default().to_owned()
    }

    /// Whether an activation succeeded: the guessed code was correct.
    pub(crate) fn is_correct_code(&self) -> bool {
        self.status == 200
    }

    /// Whether the instance compared the code, with whichever result.
    pub(crate) fn is_code_comparison(&self) -> bool {
        self.is_correct_code() || self.slug() == "wrong-code"
    }

    /// Whether a registration or resend was accepted, so that a code will be mailed.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status == 202
    }

    /// Whether the instance verified a password, with whichever result: a wrong one, that of an account, or that of a
    /// pending registration.
    pub(crate) fn is_password_check(&self) -> bool {
        matches!(self.status, 200 | 401 | 403)
    }

    /// Whether overload (503) or a limit of the client's network or account (429) prevented the attempt.
    pub(crate) fn is_throttled(&self) -> bool {
        let scope = &self.json()["scope"];
        self.status == 503 || self.status == 429 && (scope == "network" || scope == "account")
    }

    /// The registration id in the body; empty if there is none.
    pub(crate) fn registration(&self) -> String {
        self.json()["registration"].as_str().unwrap_or_default().to_owned()
    }
}

/// Counts equal responses: `3 × 422 wrong-code, 1 × 503`.
pub(crate) fn summary<'a>(responses: impl IntoIterator<Item = &'a Response>) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for response in responses {
        let scope = response.json()["scope"].as_str().map_or(String::new(), |scope| format!(" {scope}"));
        let slug = if response.status < 400 { String::new() } else { format!(" {}{scope}", response.slug()) };
        *counts.entry(format!("{}{slug}", response.status)).or_default() += 1;
    }
    counts.into_iter().map(|(kind, count)| format!("{count} × {kind}")).collect::<Vec<_>>().join(", ")
}
