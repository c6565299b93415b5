//! What the instance answered, as far as an attacker can read it.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The last word of a problem's type.
    pub(crate) fn slug(&self) -> String {
        let body = self.json();
        body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default().to_owned()
    }

    /// The code was right.
    pub(crate) fn is_hit(&self) -> bool {
        self.status == 200
    }

    /// A code was compared: wrong, or right.
    pub(crate) fn is_comparison(&self) -> bool {
        self.is_hit() || self.slug() == "wrong-code"
    }

    /// A code is on its way.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status == 202
    }

    /// It never came to what was asked: an overload, or a limit of the asking network, was in the way.
    pub(crate) fn is_held_back(&self) -> bool {
        let scope = &self.json()["scope"];
        self.status == 503 || self.status == 429 && (scope == "network" || scope == "account")
    }

    pub(crate) fn registration(&self) -> String {
        self.json()["registration"].as_str().unwrap_or_default().to_owned()
    }
}

/// How often each answer came, in words.
pub(crate) fn summary<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for answer in answers {
        let scope = answer.json()["scope"].as_str().map_or(String::new(), |scope| format!(" {scope}"));
        let slug = if answer.status < 400 { String::new() } else { format!(" {}{scope}", answer.slug()) };
        *counts.entry(format!("{}{slug}", answer.status)).or_default() += 1;
    }
    counts.into_iter().map(|(what, times)| format!("{times} × {what}")).collect::<Vec<_>>().join(", ")
}
