//! Reads and checks `/metrics` in the Prometheus text format.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::client::Client;

/// One scrape. The names of series are without the prefix `vestibule_`.
pub struct Scrape {
    pub text: String,
    values: BTreeMap<String, f64>,
}

impl Scrape {
    /// Scrapes the ops server.
    pub async fn of(ops: &Client) -> Self {
        let answer = ops.request("GET", "/metrics").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Self::parse(answer.text().await.unwrap())
    }

    /// Scrapes repeatedly until the condition holds.
    pub async fn wait_until(ops: &Client, condition: impl Fn(&Self) -> bool) -> Self {
        let scraping = async {
            loop {
                let scrape = Self::of(ops).await;
                if condition(&scrape) {
                    return scrape;
                }
                tokio::task::yield_now().await;
            }
        };
        let timeout = Duration::from_secs(20);
        match tokio::time::timeout(timeout, scraping).await {
            Ok(scrape) => scrape,
            Err(_) => panic!("the condition does not hold: {}", Self::of(ops).await.text),
        }
    }

    /// Parses the text; each series must follow the `# TYPE` line of its family and occur once.
    fn parse(text: String) -> Self {
        let mut values = BTreeMap::new();
        let mut family = "";
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                family = head.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(series.starts_with(family), "{series} is listed under {family}");
                let name = series.strip_prefix("vestibule_").unwrap().to_owned();
                assert!(values.insert(name, value.parse().unwrap()).is_none(), "{series} occurs twice");
            }
        }
        Self { text, values }
    }

    /// The names of the metric families, with their prefix.
    pub fn families(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
    }

    /// The names of all series, with their labels.
    pub fn series(&self) -> BTreeSet<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    /// Whether the series exists.
    pub fn has(&self, series: &str) -> bool {
        self.values.contains_key(series)
    }

    /// The value of a series, which must exist.
    pub fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {}", self.text))
    }

    /// Asserts the values of several series.
    pub fn assert_values<const N: usize>(&self, expected: [(&str, u32); N]) {
        for (series, value) in expected {
            assert_eq!(self.value(series), f64::from(value), "{series}");
        }
    }
}
