//! The documentation, alerts and dashboards name exactly the metrics that exist.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, fs, path::Path};

use shared::telemetry::metrics::{description::MetricKind, names::ALL};

/// The metric names in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("vestibule_").map(|(at, _)| &text[at..]);
    starts.map(|rest| rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())].to_owned()).collect()
}

/// The metric names as Prometheus shows them: a histogram has three more names.
fn exported_names() -> BTreeSet<String> {
    let suffixes =
        |kind| if let MetricKind::Histogram(_) = kind { &["", "_bucket", "_sum", "_count"][..] } else { &[""] };
    ALL.iter()
        .flat_map(|metric| suffixes(metric.kind).iter().map(|suffix| format!("{}{suffix}", metric.name)))
        .collect()
}

/// The text of a file, or of all files in a directory.
fn read(path: &Path) -> String {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().map(|entry| read(&entry.unwrap().path())).collect();
    }
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn documentation_names_exactly_the_existing_metrics() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = read(&root.join("docs/OPERATIONS.md"));
    for metric in ALL {
        let name = metric.name;
        assert!(document.contains(&format!("`{name}`")), "docs/OPERATIONS.md does not describe {name}");
    }
    let exported = exported_names();
    let of_monitoring = ["prometheus", "grafana", "tests"].map(|folder| read(&root.join("deploy").join(folder)));
    for text in std::iter::once(document).chain(of_monitoring) {
        let unknown: Vec<_> = names_in(&text).into_iter().filter(|name| !exported.contains(name)).collect();
        assert!(unknown.is_empty(), "unknown metrics {unknown:?}");
    }
}
