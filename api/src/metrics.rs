//! The metrics of the API. Each event is counted once, at the outermost place that knows its outcome.

use std::{sync::Arc, time::Duration};

use shared::telemetry::metrics::{Counter, Family, Gauge, Histogram, Registry, names};

use crate::domain::policy::CodePurpose;

/// The values of the label `purpose`: what a code is for.
const ACTIVATE: &str = "activate";
const RESET: &str = "reset";

/// Handles to all metrics that the API counts itself. The gauges that are read on demand are in `health`.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Arc<Family<3>>,
    seconds: Arc<Family<1, Histogram>>,
    registrations: Arc<Family<1>>,
    resends: Arc<Family<1>>,
    activations: Arc<Family<1>>,
    logins: Arc<Family<1>>,
    resets: Arc<Family<1>>,
    codes_issued: Arc<Family<2>>,
    wrong_guesses: Arc<Family<2>>,
    rate_limit_hits: Arc<Family<1>>,
    /// Open client connections.
    pub(crate) connections: Gauge,
    /// Open event streams of receipts.
    pub(crate) streams: Gauge,
    /// Messages that the relay has published, or failed to.
    pub(crate) published: Arc<Family<2>>,
    /// Rows that the cleanup has deleted.
    pub(crate) removed: Arc<Family<1>>,
    pub(crate) postgres_errors: Counter,
}

/// The operations whose outcomes are counted beside their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountedOperation {
    Register,
    Resend,
    Activate,
    Login,
    ForgotPassword,
    ResetPassword,
}

/// The labels of a finished request. They contain nothing that identifies a client.
pub(crate) struct ResponseLabels {
    pub(crate) method: &'static str,
    pub(crate) pattern: &'static str,
    pub(crate) operation: Option<CountedOperation>,
    pub(crate) status: &'static str,
    pub(crate) problem: Option<ProblemLabels>,
    pub(crate) took: Duration,
}

/// The labels of a problem response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProblemLabels {
    pub(crate) slug: &'static str,
    /// Which limit was hit, for `too-many-requests`.
    pub(crate) scope: Option<&'static str>,
    /// The length of the code, if this was a wrong guess that was counted.
    pub(crate) guessed: Option<u8>,
}

impl Metrics {
    /// Registers the metrics. Series whose label values are known in advance start at zero.
    pub(crate) fn new(registry: &Registry) -> Self {
        let accepted = [["accepted"]];
        Self {
            requests: registry.family(names::HTTP_REQUESTS),
            seconds: registry.family(names::HTTP_SECONDS),
            registrations: registry.family(names::REGISTRATIONS).with([["accepted"], ["repeated"]]),
            resends: registry.family(names::RESENDS).with(accepted),
            activations: registry.family(names::ACTIVATIONS).with(accepted),
            logins: registry.family(names::LOGINS).with(accepted),
            resets: registry.family(names::PASSWORD_RESETS).with([["asked"], ["changed"]]),
            codes_issued: registry.family(names::CODES_MINTED),
            wrong_guesses: registry.family(names::WRONG_GUESSES),
            rate_limit_hits: registry.family(names::LIMITER_HITS).with([["address"], ["network"], ["account"]]),
            connections: registry.one(names::CONNECTIONS_OPEN),
            streams: registry.one(names::STREAMS_OPEN),
            published: registry.family(names::OUTBOX_PUBLISHED).with([
                ["mail", "done"],
                ["mail", "failed"],
                ["event", "done"],
                ["event", "failed"],
            ]),
            removed: registry.family(names::HOUSEKEEPING_ROWS),
            postgres_errors: registry.family(names::POSTGRES_ERRORS).of(["api"]),
        }
    }

    /// Records a response. Called once for each request, by the outermost middleware.
    pub(crate) fn record_response(&self, labels: ResponseLabels) {
        let ResponseLabels { method, pattern, operation, status, problem, took } = labels;
        self.requests.count([method, pattern, status]);
        self.seconds.of([pattern]).observe(took.as_secs_f64());
        if let Some(problem) = &problem {
            self.record_problem(
                problem,
                if operation == Some(CountedOperation::ResetPassword) { RESET } else { ACTIVATE },
            );
        }
        let Some(operation) = operation else { return };
        let (outcomes, success) = match operation {
            // Successes that issue a code are counted by `code_issued`.
            CountedOperation::Register => (&self.registrations, None),
            CountedOperation::Resend => (&self.resends, None),
            CountedOperation::ForgotPassword => (&self.resets, None),
            CountedOperation::Activate => (&self.activations, Some("accepted")),
            CountedOperation::Login => (&self.logins, Some("accepted")),
            CountedOperation::ResetPassword => (&self.resets, Some("changed")),
        };
        if let Some(outcome) = problem.map(|problem| problem.slug).or(success.filter(|_| status.starts_with('2'))) {
            outcomes.count([outcome]);
        }
    }

    /// Records a request whose client disconnected before the response. Its duration says nothing about this service,
    /// so it is not observed.
    pub(crate) fn record_client_gone(&self, method: &'static str, pattern: &'static str, status: &'static str) {
        self.requests.count([method, pattern, status]);
    }

    fn record_problem(&self, problem: &ProblemLabels, purpose: &'static str) {
        if let Some(scope) = problem.scope {
            self.rate_limit_hits.count([scope]);
        }
        if let Some(length) = problem.guessed {
            self.wrong_guesses.count([purpose, digits(length)]);
        }
        if problem.slug == "unavailable" {
            self.postgres_errors.inc();
        }
    }

    /// Counts an issued code, and the request that succeeded by it. To be called after the commit.
    pub(crate) fn code_issued(&self, purpose: CodePurpose, length: u8) {
        let (outcomes, outcome, label) = match purpose {
            CodePurpose::Registration => (&self.registrations, "accepted", ACTIVATE),
            CodePurpose::Resend => (&self.resends, "accepted", ACTIVATE),
            CodePurpose::Reset => (&self.resets, "asked", RESET),
        };
        outcomes.count([outcome]);
        self.codes_issued.count([label, digits(length)]);
    }

    /// Counts a registration that was answered with the receipt of an earlier request with the same idempotency key.
    pub(crate) fn registration_replayed(&self) {
        self.registrations.count(["repeated"]);
    }
}

/// The length of a code as a label value.
fn digits(length: u8) -> &'static str {
    const ALL: [&str; 11] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
    ALL.get(usize::from(length)).unwrap_or(&"more")
}
