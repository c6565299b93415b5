//! What `/metrics` says, as Prometheus would read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::client::Client;

pub struct Scrape {
    pub text: String,
    values: BTreeMap<String, f64>,
}

impl Scrape {
    pub async fn of(ops: &Client) -> Self {
        let answer = ops.request("GET", "/metrics").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Self::read(answer.text().await.unwrap())
    }

    /// Scrapes again and again until it is so.
    pub async fn when(ops: &Client, so: impl Fn(&Self) -> bool) -> Self {
        let scraping = async {
            loop {
                let scrape = Self::of(ops).await;
                if so(&scrape) {
                    return scrape;
                }
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(20);
        match tokio::time::timeout(patience, scraping).await {
            Ok(scrape) => scrape,
            Err(_) => panic!("never so: {}", Self::of(ops).await.text),
        }
    }

    /// Each series stands below the head of its family, and once.
    fn read(text: String) -> Self {
        let (mut values, mut family) = (BTreeMap::new(), "");
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                family = head.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(series.starts_with(family), "{series} below {family}");
                let name = series.strip_prefix("vestibule_").unwrap().to_owned();
                assert!(values.insert(name, value.parse().unwrap()).is_none(), "{series} is there twice");
            }
        }
        Self { text, values }
    }

    pub fn families(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
    }

    pub fn series(&self) -> BTreeSet<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    /// The name is without its prefix.
    pub fn has(&self, series: &str) -> bool {
        self.values.contains_key(series)
    }

    pub fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {}", self.text))
    }

    pub fn is<const N: usize>(&self, expected: [(&str, u32); N]) {
        for (series, value) in expected {
            assert_eq!(self.value(series), f64::from(value), "{series}");
        }
    }
}
