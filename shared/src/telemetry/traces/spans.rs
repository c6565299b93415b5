//! Every span that leaves a process, with all that is told of it.
//!
//! No other file makes one (`scripts/layers` checks it), so this page is the whole of what a collector learns: no address, no
//! code, no password, no hash, no token, no path or query as they were asked for.

use tracing::{Span, debug_span, field::Empty};

/// What marks them: no log shows it.
pub(super) const TARGET: &str = "spans";

pub(super) const INTERNAL: u64 = 1;
pub(super) const SERVER: u64 = 2;
pub(super) const CLIENT: u64 = 3;
pub(super) const PRODUCER: u64 = 4;
pub(super) const CONSUMER: u64 = 5;

/// The id of a request is that of its trace, and the second half of it that of its span: whoever knows the one can
/// name the other, whether anything is recorded or not.
fn root(request: u128) -> u64 {
    u64::try_from(request & u128::from(u64::MAX)).unwrap_or_default()
}

/// What a message carries, so that what becomes of it is part of the trace.
pub fn traceparent(request: u128) -> String {
    format!("00-{request:032x}-{:016x}-01", root(request))
}

/// A request. The route is a pattern.
pub fn request(id: u128, method: &str, route: Option<&str>, scheme: &str) -> Span {
    debug_span!(
        target: TARGET,
        parent: None,
        "request",
        kind = SERVER,
        trace = id,
        span = root(id),
        name = format!("{} {}", known(method), route.unwrap_or_default()).trim_end(),
        http.request.method = known(method),
        http.route = route,
        url.scheme = scheme,
        http.response.status_code = Empty,
        failed = Empty,
    )
}

/// A password that waits for a thread.
pub fn hash_wait() -> Span {
    debug_span!(target: TARGET, "wait for a hash thread", kind = INTERNAL)
}

/// A password that is hashed, for whoever had it wait.
pub fn hash(asked: &Span) -> Span {
    debug_span!(target: TARGET, parent: asked, "hash", kind = INTERNAL)
}

/// One round trip to Postgres: what it is for, in our words.
pub fn postgres(what: &'static str) -> Span {
    debug_span!(target: TARGET, "postgres", kind = CLIENT, name = what, db.system.name = "postgresql")
}

/// A row of the outbox on its way to the broker.
pub fn publish(what: &'static str, traceparent: Option<&str>) -> Span {
    debug_span!(
        target: TARGET,
        parent: None,
        "publish",
        kind = PRODUCER,
        parent = traceparent,
        name = what,
        messaging.system = "rabbitmq",
        messaging.operation.type = "send",
        failed = Empty,
    )
}

/// A message in a worker's hands, each time that it is.
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

/// What is said to the mail server about one mail, and the class of what came of it, as the metric has it.
pub fn smtp() -> Span {
    debug_span!(target: TARGET, "smtp", kind = CLIENT, smtp.reply = Empty, failed = Empty)
}

/// A client can call a method what it likes.
fn known(method: &str) -> &str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    if known.contains(&method) { method } else { "_OTHER" }
}
