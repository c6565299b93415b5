//! Tests of the text format.

use std::time::Duration;

use super::{GaugeGuard, Registry, names};

#[test]
fn each_name_has_one_header_and_each_series_a_line() {
    let registry = Registry::default();
    let (api, worker) = (registry.family(names::BROKER_UP), registry.family(names::BROKER_UP));
    worker.set(["worker"], 0);
    api.set(["api"], true);
    let scopes = registry.family(names::LIMITER_HITS).with([["network"], ["address"]]);
    scopes.count(["network"]);
    let text = registry.text();
    let expected = "# HELP vestibule_broker_up 1 while the API can publish or the worker can consume.\n\
        # TYPE vestibule_broker_up gauge\n\
        vestibule_broker_up{part=\"api\"} 1\nvestibule_broker_up{part=\"worker\"} 0\n";
    assert!(text.starts_with(expected), "{text}");
    let hits = "vestibule_limiter_hits_total{scope=\"address\"} 0\nvestibule_limiter_hits_total{scope=\"network\"} 1\n";
    assert!(text.ends_with(hits), "{text}");
}

#[test]
fn histogram_buckets_are_cumulative() {
    let registry = Registry::default();
    let hashing = registry.one(names::HASH_SECONDS);
    for millis in [1, 2, 2_500, 60_000] {
        hashing.observe(Duration::from_millis(millis).as_secs_f64());
    }
    let text = registry.text();
    let bucket = |le: &str| format!("vestibule_hash_seconds_bucket{{le=\"{le}\"}}");
    for (line, count) in [(bucket("0.001"), "1"), (bucket("0.0025"), "2"), (bucket("2.5"), "3"), (bucket("30"), "3")] {
        assert!(text.contains(&format!("{line} {count}\n")), "{line}: {text}");
    }
    assert!(text.contains(&format!("{} 4\n", bucket("+Inf"))), "{text}");
    assert!(text.ends_with("vestibule_hash_seconds_sum 62.503\nvestibule_hash_seconds_count 4\n"), "{text}");
}

#[test]
fn guard_decrements_on_drop_and_forget_removes_series() {
    let registry = Registry::default();
    let (in_hand, outbox) = (registry.one(names::IN_HAND), registry.family(names::OUTBOX_MESSAGES));
    outbox.set(["mail"], 7_u64);
    let guard = GaugeGuard::new(&in_hand);
    assert!(registry.text().contains("vestibule_in_hand 1\n") && registry.text().contains("{what=\"mail\"} 7\n"));
    drop(guard);
    outbox.forget();
    assert!(registry.text().contains("vestibule_in_hand 0\n") && !registry.text().contains("mail"));
}
