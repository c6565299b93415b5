//! Every metric there is: its name, its labels, what it says. docs/OPERATIONS.md says what to do about it.

use std::marker::PhantomData;

use super::{Number, histogram::Histogram};

/// What a request, a hash or a mail takes.
const SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What may take as long as a mail server is away.
const LONG: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// What stands in the head of a family.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    pub name: &'static str,
    pub kind: MetricKind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// A family with so many labels, of series of this type.
pub struct Name<const N: usize, S> {
    pub described: Described,
    series: PhantomData<fn() -> S>,
}

macro_rules! names {
    ($($ident:ident: $series:ident[$n:literal] = $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(pub const $ident: Name<$n, $series> = Name::new($kind, $name, &[$($label),*], $help);)+
        /// All of them.
        pub const ALL: &[Described] = &[$($ident.described),+];
    };
}

names! {
    // Of every process.
    BUILD_INFO: Number[2] = MetricKind::Gauge, "vestibule_build_info", ["part", "version"], "Always 1: which part this is, of which version.";
    CHECK_OK: Number[2] = MetricKind::Gauge, "vestibule_check_ok", ["part", "check"], "1 or 0: what /health/ready says, one by one.";
    BROKER_UP: Number[1] = MetricKind::Gauge, "vestibule_broker_up", ["part"], "1 while the API can publish, or the worker consume.";
    POOL_CONNECTIONS: Number[1] = MetricKind::Gauge, "vestibule_pool_connections", ["state"], "Connections to Postgres, in_use and idle.";
    POOL_WAITING: Number[0] = MetricKind::Gauge, "vestibule_pool_waiting", [], "Who waits for a connection to Postgres.";
    POSTGRES_ERRORS: Number[1] = MetricKind::Counter, "vestibule_postgres_errors_total", ["part"], "What failed because of Postgres: requests answered with unavailable, rounds of the relay and of housekeeping, facts and records of the worker.";

    // Of the API.
    HTTP_REQUESTS: Number[3] = MetricKind::Counter, "vestibule_http_requests_total", ["method", "path", "status"], "Requests answered, and with 499 those that the client gave up; the path is its pattern, and - where there is none.";
    HTTP_SECONDS: Histogram[1] = MetricKind::Histogram(SHORT), "vestibule_http_request_seconds", ["path"], "From the head of a request to that of its answer.";
    CONNECTIONS_OPEN: Number[0] = MetricKind::Gauge, "vestibule_connections_open", [], "HTTP connections that have a place.";
    STREAMS_OPEN: Number[0] = MetricKind::Gauge, "vestibule_sse_streams_open", [], "Receipts that somebody watches by a stream of events.";
    REGISTRATIONS: Number[1] = MetricKind::Counter, "vestibule_registrations_total", ["outcome"], "Registrations: accepted, repeated (a known Idempotency-Key), or the problem.";
    RESENDS: Number[1] = MetricKind::Counter, "vestibule_resends_total", ["outcome"], "Other codes asked for: accepted, or the problem.";
    ACTIVATIONS: Number[1] = MetricKind::Counter, "vestibule_activations_total", ["outcome"], "Activations: accepted, or the problem.";
    LOGINS: Number[1] = MetricKind::Counter, "vestibule_logins_total", ["outcome"], "Logins: accepted, or the problem.";
    PASSWORD_RESETS: Number[1] = MetricKind::Counter, "vestibule_password_resets_total", ["outcome"], "Forgotten passwords: asked (a code was asked for), changed, or the problem of either.";
    CODES_MINTED: Number[2] = MetricKind::Counter, "vestibule_codes_minted_total", ["purpose", "length"], "Codes made, to activate or to reset; decoys, too.";
    WRONG_GUESSES: Number[2] = MetricKind::Counter, "vestibule_wrong_guesses_total", ["purpose", "length"], "Wrong codes given and counted, by the length of the shortest code they were compared with.";
    LIMITER_HITS: Number[1] = MetricKind::Counter, "vestibule_limiter_hits_total", ["scope"], "Answers 429, by whose limit it was: address, network or account.";
    HASH_SECONDS: Histogram[0] = MetricKind::Histogram(SHORT), "vestibule_hash_seconds", [], "How long a thread hashed one password.";
    HASH_WAIT_SECONDS: Histogram[0] = MetricKind::Histogram(SHORT), "vestibule_hash_queue_wait_seconds", [], "How long a password waited for a thread.";
    HASH_REFUSALS: Number[1] = MetricKind::Counter, "vestibule_hash_refusals_total", ["reason"], "Passwords not hashed: full (refused at the door), late (had a place and waited too long), failed.";
    HASH_QUEUE: Number[0] = MetricKind::Gauge, "vestibule_hash_queue_length", [], "Passwords that wait for a thread, or have a place and are still to come.";
    HASH_THREADS: Number[0] = MetricKind::Gauge, "vestibule_hash_threads", [], "Threads that hash.";
    OUTBOX_MESSAGES: Number[1] = MetricKind::Gauge, "vestibule_outbox_messages", ["what"], "What waits in the outbox; 10000 means at least so many.";
    OUTBOX_OLDEST: Number[1] = MetricKind::Gauge, "vestibule_outbox_oldest_seconds", ["what"], "For how long the oldest of these has waited.";
    OUTBOX_PUBLISHED: Number[2] = MetricKind::Counter, "vestibule_outbox_published_total", ["what", "outcome"], "What the relay handed on: done, or failed and tried again later.";
    BROKER_BLOCKED: Number[0] = MetricKind::Gauge, "vestibule_broker_blocked", [], "1 while the broker, short of memory or disk, takes nothing of the API's.";
    HOUSEKEEPING_ROWS: Number[1] = MetricKind::Counter, "vestibule_housekeeping_rows_total", ["what"], "Rows removed because they were over, by table.";

    // Of the worker.
    MESSAGES: Number[2] = MetricKind::Counter, "vestibule_messages_total", ["kind", "outcome"], "Messages worked on: delivered, dropped, undeliverable, repeated (on record already), retried, postponed, parked, given_back. The kind of what cannot be read is -.";
    MAILS_DROPPED: Number[1] = MetricKind::Counter, "vestibule_mails_dropped_total", ["reason"], "Mails that were not sent because they were worth nothing any more, or muted.";
    SMTP_RESULTS: Number[1] = MetricKind::Counter, "vestibule_smtp_results_total", ["class"], "What the mail server said to a letter: 2xx, 4xx, 5xx, timeout, or connection (none, lost, not to be trusted, or refused before the letter was offered).";
    SMTP_SECONDS: Histogram[0] = MetricKind::Histogram(SHORT), "vestibule_smtp_seconds", [], "One letter's dialogue with the mail server, with the opening of a connection where there was none.";
    SMTP_LAST_SUCCESS: Number[0] = MetricKind::Gauge, "vestibule_smtp_last_success_timestamp_seconds", [], "When the mail server last took a letter; 0 before the first.";
    DELIVERY_SECONDS: Histogram[1] = MetricKind::Histogram(LONG), "vestibule_delivery_seconds", ["kind"], "From the 202 to the recorded 250, by the database's clock.";
    IN_HAND: Number[0] = MetricKind::Gauge, "vestibule_in_hand", [], "Messages that the worker is at.";
    QUEUE_MESSAGES: Number[0] = MetricKind::Gauge, "vestibule_queue_messages", [], "Messages that wait in the broker's queue for a worker.";
    PARKED_MESSAGES: Number[0] = MetricKind::Gauge, "vestibule_parked_messages", [], "Messages that nobody could read, and that wait for a person.";
}

impl<const N: usize, S> Name<N, S> {
    const fn new(kind: MetricKind, name: &'static str, labels: &'static [&'static str; N], help: &'static str) -> Self {
        Self { described: Described { name, kind, labels, help }, series: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_likes_them() {
        for (n, one) in ALL.iter().enumerate() {
            let Described { name, kind, labels, help } = one;
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(name.starts_with("vestibule_") && plain(name) && labels.iter().all(|label| plain(label)), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert!(!help.contains(['\\', '\n']) && help.ends_with('.'), "{name}");
            assert!(ALL[..n].iter().all(|before| before.name != *name), "{name} is there twice");
        }
    }
}
