//! Without a collector, no spans are created. A test binary of its own, because it sets the global subscriber.

use shared::telemetry::{log, traces::spans};

#[test]
fn spans_are_disabled_without_a_collector() {
    log::start("text", None).unwrap();
    assert!(spans::request(1, "GET", None, "http").is_disabled());
    assert!(spans::message(Some(&spans::traceparent(1))).is_disabled());
    assert!(tracing::info_span!("of a library", canary = 1).is_disabled());
}
