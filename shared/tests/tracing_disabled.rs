//! Where no collector is named, no span is made; the log is this process's own, so this stands alone.

use shared::telemetry::{log, traces::spans};

#[test]
fn a_span_that_nobody_wants_is_none() {
    log::start("text", None).unwrap();
    assert!(spans::request(1, "GET", None, "http").is_disabled());
    assert!(spans::message(Some(&spans::traceparent(1))).is_disabled());
    assert!(tracing::info_span!("of a library", canary = 1).is_disabled());
}
