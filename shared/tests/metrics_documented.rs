//! What operators are told of is there, and what is there they are told of.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::{collections::BTreeSet, fs, path::Path};

use shared::telemetry::metrics::names::{ALL, MetricKind};

/// Rules, dashboards and documents name a metric as Prometheus shows it: a histogram is three.
fn named(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("vestibule_").map(|(at, _)| &text[at..]);
    starts.map(|rest| rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())].to_owned()).collect()
}

fn shown() -> BTreeSet<String> {
    let suffixes =
        |kind| if let MetricKind::Histogram(_) = kind { &["", "_bucket", "_sum", "_count"][..] } else { &[""] };
    ALL.iter().flat_map(|one| suffixes(one.kind).iter().map(|suffix| format!("{}{suffix}", one.name))).collect()
}

fn read(path: &Path) -> String {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().map(|entry| read(&entry.unwrap().path())).collect();
    }
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]

fn every_metric_is_documented_and_nothing_else_is_looked_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = read(&root.join("docs/OPERATIONS.md"));
    for one in ALL {
        assert!(document.contains(&format!("`{}`", one.name)), "docs/OPERATIONS.md does not say what {} is", one.name);
    }
    let shown = shown();
    for text in [document, read(&root.join("deploy"))] {
        let unknown: Vec<_> = named(&text).into_iter().filter(|name| !shown.contains(name)).collect();
        assert!(unknown.is_empty(), "nobody counts {unknown:?}");
    }
}
