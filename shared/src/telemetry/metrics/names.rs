//! The table of all metrics: name, labels and help text. docs/OPERATIONS.md describes them for operators.

use std::marker::PhantomData;

use super::{
    Counter, Gauge, Histogram,
    description::{MetricDescription, MetricKind},
};

/// Buckets for a request, a password hash or an SMTP transaction, in seconds.
const SHORT: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Buckets for deliveries, which can take as long as an outage of the mail server, in seconds.
const LONG: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The name of a metric with `N` labels whose series have the type `S`.
pub struct Name<const N: usize, S> {
    pub metric: MetricDescription,
    series: PhantomData<fn() -> S>,
}

macro_rules! names {
    ($($ident:ident: $series:ident[$n:literal]$(($bounds:ident))? = $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(pub const $ident: Name<$n, $series> = Name::new(MetricKind::$series$(($bounds))?, $name, &[$($label),*], $help);)+
        /// All metrics.
        pub const ALL: &[MetricDescription] = &[$($ident.metric),+];
    };
}

names! {
    // Of every process.
    BUILD_INFO: Gauge[2] = "vestibule_build_info", ["part", "version"], "Always 1; the labels name the component and its version.";
    CHECK_OK: Gauge[2] = "vestibule_check_ok", ["part", "check"], "1 if this check of /health/ready is ok, 0 if it is failing.";
    BROKER_UP: Gauge[1] = "vestibule_broker_up", ["part"], "1 while the API can publish or the worker can consume.";
    POOL_CONNECTIONS: Gauge[1] = "vestibule_pool_connections", ["state"], "Connections to Postgres by state: in_use or idle.";
    POOL_WAITING: Gauge[0] = "vestibule_pool_waiting", [], "Tasks that wait for a connection to Postgres.";
    POSTGRES_ERRORS: Counter[1] = "vestibule_postgres_errors_total", ["part"], "Operations that failed because of Postgres: requests answered with unavailable, rounds of the relay and of the cleanup, reads and writes of the worker.";

    // Of the API.
    HTTP_REQUESTS: Counter[3] = "vestibule_http_requests_total", ["method", "path", "status"], "HTTP requests by method, route and status. The path is the route pattern, or - without a route; 499 means that the client disconnected.";
    HTTP_SECONDS: Histogram[1](SHORT) = "vestibule_http_request_seconds", ["path"], "Time from the head of a request to the head of its response.";
    CONNECTIONS_OPEN: Gauge[0] = "vestibule_connections_open", [], "Open HTTP connections.";
    STREAMS_OPEN: Gauge[0] = "vestibule_sse_streams_open", [], "Open event streams of receipts.";
    REGISTRATIONS: Counter[1] = "vestibule_registrations_total", ["outcome"], "Registrations by outcome: accepted, repeated (known Idempotency-Key), or the problem.";
    RESENDS: Counter[1] = "vestibule_resends_total", ["outcome"], "Requests for a new code by outcome: accepted, or the problem.";
    ACTIVATIONS: Counter[1] = "vestibule_activations_total", ["outcome"], "Activations by outcome: accepted, or the problem.";
    LOGINS: Counter[1] = "vestibule_logins_total", ["outcome"], "Logins by outcome: accepted, or the problem.";
    PASSWORD_RESETS: Counter[1] = "vestibule_password_resets_total", ["outcome"], "Password resets by outcome: asked (code requested), changed, or the problem of either request.";
    CODES_MINTED: Counter[2] = "vestibule_codes_minted_total", ["purpose", "length"], "Codes created for activation or password reset, including decoys.";
    WRONG_GUESSES: Counter[2] = "vestibule_wrong_guesses_total", ["purpose", "length"], "Wrong codes that were counted, by purpose and by the length of the shortest code they were compared with.";
    LIMITER_HITS: Counter[1] = "vestibule_limiter_hits_total", ["scope"], "Responses with status 429 by the scope of the rate limit: address, network or account.";
    HASH_SECONDS: Histogram[0](SHORT) = "vestibule_hash_seconds", [], "Time to hash one password.";
    HASH_WAIT_SECONDS: Histogram[0](SHORT) = "vestibule_hash_queue_wait_seconds", [], "Time a password waited for a hash thread.";
    HASH_REFUSALS: Counter[1] = "vestibule_hash_refusals_total", ["reason"], "Passwords that were not hashed by reason: full (rejected because the queue was full), late (waited too long in the queue), failed.";
    HASH_QUEUE: Gauge[0] = "vestibule_hash_queue_length", [], "Passwords that wait for a hash thread, including reserved places in the queue.";
    HASH_THREADS: Gauge[0] = "vestibule_hash_threads", [], "Hash threads.";
    OUTBOX_MESSAGES: Gauge[1] = "vestibule_outbox_messages", ["what"], "Rows in the outbox by kind; 10000 means at least 10000.";
    OUTBOX_OLDEST: Gauge[1] = "vestibule_outbox_oldest_seconds", ["what"], "Age of the oldest row in the outbox by kind.";
    OUTBOX_PARKED: Gauge[0] = "vestibule_outbox_parked_rows", [], "Outbox rows that could not be published, and wait for an operator.";
    OUTBOX_PUBLISHED: Counter[2] = "vestibule_outbox_published_total", ["what", "outcome"], "Rows that the relay tried to publish by kind and outcome: done, or failed (retried later).";
    CODES_LATE: Gauge[0] = "vestibule_codes_late", [], "Codes that are still valid, and that no worker has finished 30 s after they were requested; 10000 means at least 10000.";
    RESCUED: Counter[1] = "vestibule_rescued_messages_total", ["kind"], "Messages that the broker has lost, and that were published again, by mail kind.";
    BROKER_BLOCKED: Gauge[0] = "vestibule_broker_blocked", [], "1 while the broker blocks publishing because it is short of memory or disk space.";
    POSTGRES_ROWS: Gauge[2] = "vestibule_postgres_rows", ["table", "state"], "Estimated rows, rounded down to thousands, by table and state: live, or dead (deleted or replaced, and not vacuumed yet).";
    POSTGRES_AGE: Gauge[1] = "vestibule_postgres_age_transactions", ["of"], "Transactions since the oldest snapshot that is held (vacuum removes nothing newer), and since the oldest one that is not frozen.";
    HOUSEKEEPING_ROWS: Counter[1] = "vestibule_housekeeping_rows_total", ["what"], "Expired rows deleted by the cleanup, by table.";

    // Of the worker.
    MESSAGES: Counter[2] = "vestibule_messages_total", ["kind", "outcome"], "Messages processed by mail kind and outcome: delivered, dropped, undeliverable, repeated (already recorded), retried, postponed, parked or given_back. The kind of an unreadable message is -.";
    MAILS_DROPPED: Counter[1] = "vestibule_mails_dropped_total", ["reason"], "Mails that were not sent because they were no longer useful, by reason.";
    SMTP_RESULTS: Counter[1] = "vestibule_smtp_results_total", ["class"], "Replies of the mail server to a mail by class: 2xx, 4xx, 5xx, timeout, or connection (not established, lost, not trusted, or rejected before the mail was sent).";
    SMTP_SECONDS: Histogram[0](SHORT) = "vestibule_smtp_seconds", [], "Duration of one SMTP transaction, including opening the connection if necessary.";
    SMTP_LAST_SUCCESS: Gauge[0] = "vestibule_smtp_last_success_timestamp_seconds", [], "Time when the mail server last accepted a mail; 0 before the first one.";
    DELIVERY_SECONDS: Histogram[1](LONG) = "vestibule_delivery_seconds", ["kind"], "Time from the response 202 of the API to the recorded reply 250 of the mail server, by the clock of the database.";
    IN_HAND: Gauge[0] = "vestibule_in_hand", [], "Messages that the worker is processing.";
    QUEUE_MESSAGES: Gauge[1] = "vestibule_queue_messages", ["queue"], "Messages that wait in a queue for a worker: send-code, what people wait for, or send-notice.";
    PARKED_MESSAGES: Gauge[0] = "vestibule_parked_messages", [], "Messages in the parked queue, which wait for an operator.";
}

impl<const N: usize, S> Name<N, S> {
    const fn new(kind: MetricKind, name: &'static str, labels: &'static [&'static str; N], help: &'static str) -> Self {
        Self { metric: MetricDescription { name, kind, labels, help }, series: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for (index, metric) in ALL.iter().enumerate() {
            let MetricDescription { name, kind, labels, help } = metric;
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(name.starts_with("vestibule_") && plain(name) && labels.iter().all(|label| plain(label)), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == MetricKind::Counter, "{name}");
            assert!(!help.contains(['\\', '\n']) && help.ends_with('.'), "{name}");
            assert!(ALL[..index].iter().all(|other| other.name != *name), "{name} is defined twice");
        }
    }
}
