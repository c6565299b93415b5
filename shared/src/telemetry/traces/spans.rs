//! Every span that a process exports, with all its attributes.
//!
//! No other file creates exported spans (`scripts/layers` checks it), so this file is the complete list of what a
//! collector receives: no email or network address, no code, password, hash or token, and no path or query of a
//! request.

use tracing::{Span, debug_span, field::Empty};

/// The target of exported spans, which excludes them from the log.
pub(super) const TARGET: &str = "spans";

// The span kinds of OTLP.
pub(super) const INTERNAL: u64 = 1;
pub(super) const SERVER: u64 = 2;
pub(super) const CLIENT: u64 = 3;
pub(super) const PRODUCER: u64 = 4;
pub(super) const CONSUMER: u64 = 5;

/// The span id of a request: the second half of its id, which is also the trace id. So an operator who knows the
/// request id can find the trace, and a `traceparent` can be built without recording.
fn root_span_id(request: u128) -> u64 {
    u64::try_from(request & u128::from(u64::MAX)).unwrap_or_default()
}

/// The W3C `traceparent` of a request, which messages carry so that their processing is part of the trace.
pub fn traceparent(request: u128) -> String {
    format!("00-{request:032x}-{:016x}-01", root_span_id(request))
}

/// An HTTP request. `route` is the pattern of the route, not the path of the request.
pub fn request(id: u128, method: &str, route: Option<&str>, scheme: &str) -> Span {
    debug_span!(
        target: TARGET,
        parent: None,
        "request",
        kind = SERVER,
        trace = id,
        span = root_span_id(id),
        name = format!("{} {}", known_method(method), route.unwrap_or_default()).trim_end(),
        http.request.method = known_method(method),
        http.route = route,
        url.scheme = scheme,
        http.response.status_code = Empty,
        failed = Empty,
    )
}

/// A password that waits for a hash thread.
pub fn hash_wait() -> Span {
    debug_span!(target: TARGET, "wait for a hash thread", kind = INTERNAL)
}

/// A password that is being hashed; a child of the span that requested it.
pub fn hash(requested_by: &Span) -> Span {
    debug_span!(target: TARGET, parent: requested_by, "hash", kind = INTERNAL)
}

/// One round trip to Postgres. `operation` describes its purpose; it is not the SQL.
pub fn postgres(operation: &'static str) -> Span {
    debug_span!(target: TARGET, "postgres", kind = CLIENT, name = operation, db.system.name = "postgresql")
}

/// The publication of an outbox row.
pub fn publish(operation: &'static str, traceparent: Option<&str>) -> Span {
    debug_span!(
        target: TARGET,
        parent: None,
        "publish",
        kind = PRODUCER,
        parent = traceparent,
        name = operation,
        messaging.system = "rabbitmq",
        messaging.operation.type = "send",
        failed = Empty,
    )
}

/// One attempt of the worker to process a message.
pub fn message(traceparent: Option<&str>) -> Span {
    debug_span!(
        target: TARGET,
        parent: None,
        "message",
        kind = CONSUMER,
        parent = traceparent,
        messaging.operation.type = "process",
        failed = Empty,
    )
}

/// One SMTP transaction. `smtp.reply` is the class of the result, as in the metric.
pub fn smtp() -> Span {
    debug_span!(target: TARGET, "smtp", kind = CLIENT, smtp.reply = Empty, failed = Empty)
}

/// The method if it is a standard one, else `_OTHER`: clients can send any text as a method.
fn known_method(method: &str) -> &str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    if known.contains(&method) { method } else { "_OTHER" }
}
