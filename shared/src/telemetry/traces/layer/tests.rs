//! What becomes of spans, as they come and go.

use tracing_subscriber::{filter::filter_fn, layer::SubscriberExt};

use super::super::{settings::Share, spans};
use super::*;

/// What is recorded while this runs.
fn recorded(share: Share, run: impl FnOnce()) -> Vec<Traced> {
    let (sender, mut queue) = mpsc::channel(16);
    let ours = filter_fn(|of| of.is_span() && of.target() == spans::TARGET);
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
    let subscriber = tracing_subscriber::registry().with(log).with(Spans::new(sender, share).with_filter(ours));
    tracing::subscriber::with_default(subscriber, run);
    std::iter::from_fn(|| queue.try_recv().ok()).collect()
}

const ID: u128 = 0x6f96_19ff_8b86_4011_b42d_00cf_4fc9_64ff;

#[test]
fn a_request_is_the_root_and_what_it_does_is_below_it_through_spans_of_the_log() {
    let all = recorded(Share::ALL, || {
        let request = spans::request(ID, "POST", Some("/not-me/{token}"), "http");
        let log = tracing::info_span!(parent: &request, "request", secret = "canary");
        assert!(!log.is_disabled());
        log.in_scope(|| drop(spans::hash_wait()));
        request.record("http.response.status_code", 503_u64).record("failed", true);
    });
    let [wait, request] = &all[..] else { panic!("{all:?}") };
    assert_eq!((request.trace, request.id, request.parent), (ID, 0xb42d_00cf_4fc9_64ff, 0));
    assert_eq!((wait.trace, wait.parent, wait.kind), (ID, request.id, spans::INTERNAL));
    assert!(wait.id != 0 && wait.id != request.id && request.begun <= wait.begun && wait.ended <= request.ended);
    assert_eq!((request.name.as_str(), request.kind, request.failed), ("POST /not-me/{token}", spans::SERVER, true));
    let told = |name| request.attributes.iter().find(|(told, _)| *told == name).map(|(_, value)| value.clone());
    assert_eq!(told("http.route"), Some(Value::Text("/not-me/{token}".into())));
    assert_eq!(told("http.response.status_code"), Some(Value::Number(503)));
    assert_eq!(request.attributes.len(), 4, "{request:?}");
}

#[test]
fn a_message_belongs_to_the_trace_that_it_names() {
    let named = spans::traceparent(ID);
    assert_eq!(named, "00-6f9619ff8b864011b42d00cf4fc964ff-b42d00cf4fc964ff-01");
    let all = recorded(Share::ALL, || spans::message(Some(&named)).in_scope(|| drop(spans::smtp())));
    assert_eq!((all[1].trace, all[1].parent, all[1].kind), (ID, 0xb42d_00cf_4fc9_64ff, spans::CONSUMER));
    assert_eq!((all[0].trace, all[0].parent, all[0].name.as_str()), (ID, all[1].id, "smtp"));
}

#[test]
fn what_names_no_trace_is_part_of_none() {
    let unsampled = spans::traceparent(ID).replace("-01", "-00");
    let none = format!("00-{}-{}-01", "0".repeat(32), "1".repeat(16));
    for named in [None, Some(""), Some("00-trace"), Some(&*unsampled), Some(&*none), Some("00-+f-1-01")] {
        let all = recorded(Share::ALL, || spans::message(named).in_scope(|| drop(spans::smtp())));
        assert!(all.is_empty(), "{named:?}: {all:?}");
    }
    assert!(recorded(Share::ALL, || drop(spans::postgres("of housekeeping"))).is_empty());
    assert!(recorded(Share::NONE, || drop(spans::request(ID, "GET", None, "http"))).is_empty());
}

#[test]
fn a_method_is_one_that_there_is() {
    let all = recorded(Share::ALL, || drop(spans::request(ID, "canary", None, "http")));
    assert_eq!(all[0].name, "_OTHER");
    assert!(!format!("{all:?}").contains("canary"));
}

/// A client, the relay or a worker does not wait for a collector.
#[test]
fn what_there_is_no_room_for_is_lost() {
    let all = recorded(Share::ALL, || (1..100).for_each(|id| drop(spans::request(id, "GET", None, "http"))));
    assert_eq!(all.len(), 16);
}
