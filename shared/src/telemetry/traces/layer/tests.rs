//! Tests of the span layer.

use tracing_subscriber::{filter::filter_fn, layer::SubscriberExt};

use super::super::{sampling::SamplingRatio, spans};
use super::*;

/// The spans that are recorded while the closure runs.
fn recorded(sampling: SamplingRatio, run: impl FnOnce()) -> Vec<SpanRecord> {
    let (sender, mut queue) = mpsc::channel(16);
    let exported = filter_fn(|metadata| metadata.is_span() && metadata.target() == spans::TARGET);
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
    let subscriber =
        tracing_subscriber::registry().with(log).with(SpanLayer::new(sender, sampling).with_filter(exported));
    // As long as the process has only one subscriber, spans that another thread begins first, without it, are never recorded.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    tracing::subscriber::with_default(subscriber, run);
    std::iter::from_fn(|| queue.try_recv().ok()).collect()
}

const ID: u128 = 0x6f96_19ff_8b86_4011_b42d_00cf_4fc9_64ff;

#[test]
fn request_is_the_root_of_its_spans_despite_log_spans() {
    let all = recorded(SamplingRatio::ALL, || {
        let request = spans::request(ID, "POST", Some("/not-me/{token}"), "http");
        let log = tracing::info_span!(parent: &request, "request", secret = "canary");
        assert!(!log.is_disabled());
        log.in_scope(|| drop(spans::hash_wait()));
        request.record("http.response.status_code", 503_u64).record("failed", true);
    });
    let [wait, request] = &all[..] else { panic!("{all:?}") };
    assert_eq!((request.trace, request.id, request.parent), (ID, 0xb42d_00cf_4fc9_64ff, 0));
    assert_eq!((wait.trace, wait.parent, wait.kind), (ID, request.id, spans::INTERNAL));
    assert!(
        wait.id != 0
            && wait.id != request.id
            && request.started_at <= wait.started_at
            && wait.ended_at <= request.ended_at
    );
    assert_eq!((request.name.as_str(), request.kind, request.failed), ("POST /not-me/{token}", spans::SERVER, true));
    let attribute = |name| request.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
    assert_eq!(attribute("http.route"), Some(AttributeValue::Text("/not-me/{token}".into())));
    assert_eq!(attribute("http.response.status_code"), Some(AttributeValue::Number(503)));
    assert_eq!(request.attributes.len(), 4, "{request:?}");
}

#[test]
fn message_joins_the_trace_of_its_traceparent() {
    let traceparent = spans::traceparent(ID);
    assert_eq!(traceparent, "00-6f9619ff8b864011b42d00cf4fc964ff-b42d00cf4fc964ff-01");
    let all = recorded(SamplingRatio::ALL, || spans::message(Some(&traceparent)).in_scope(|| drop(spans::smtp())));
    assert_eq!((all[1].trace, all[1].parent, all[1].kind), (ID, 0xb42d_00cf_4fc9_64ff, spans::CONSUMER));
    assert_eq!((all[0].trace, all[0].parent, all[0].name.as_str()), (ID, all[1].id, "smtp"));
}

#[test]
fn spans_without_a_valid_sampled_trace_are_not_recorded() {
    let unsampled = spans::traceparent(ID).replace("-01", "-00");
    let zero_trace = format!("00-{}-{}-01", "0".repeat(32), "1".repeat(16));
    for traceparent in [None, Some(""), Some("00-trace"), Some(&*unsampled), Some(&*zero_trace), Some("00-+f-1-01")] {
        let all = recorded(SamplingRatio::ALL, || spans::message(traceparent).in_scope(|| drop(spans::smtp())));
        assert!(all.is_empty(), "{traceparent:?}: {all:?}");
    }
    assert!(recorded(SamplingRatio::ALL, || drop(spans::postgres("cleanup"))).is_empty());
    assert!(recorded(SamplingRatio::NONE, || drop(spans::request(ID, "GET", None, "http"))).is_empty());
}

#[test]
fn unknown_http_method_is_recorded_as_other() {
    let all = recorded(SamplingRatio::ALL, || drop(spans::request(ID, "canary", None, "http")));
    assert_eq!(all[0].name, "_OTHER");
    assert!(!format!("{all:?}").contains("canary"));
}

/// Requests, the relay and the worker must not wait for the collector.
#[test]
fn spans_are_dropped_when_the_queue_is_full() {
    let all = recorded(SamplingRatio::ALL, || (1..100).for_each(|id| drop(spans::request(id, "GET", None, "http"))));
    assert_eq!(all.len(), 16);
}
