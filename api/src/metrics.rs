//! What the API counts: each thing at the outermost place where its outcome is known.

use std::{sync::Arc, time::Duration};

use shared::telemetry::metrics::{Family, Number, Registry, histogram::Histogram, names};

use crate::domain::policy::CodePurpose;

/// What a code is for.
const ACTIVATE: &str = "activate";
const RESET: &str = "reset";

const RESETTING: &str = "/v1/users/password/reset";

#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Arc<Family<3>>,
    seconds: Arc<Family<1, Histogram>>,
    registrations: Arc<Family<1>>,
    resends: Arc<Family<1>>,
    activations: Arc<Family<1>>,
    logins: Arc<Family<1>>,
    resets: Arc<Family<1>>,
    minted: Arc<Family<2>>,
    wrong_guesses: Arc<Family<2>>,
    limiter_hits: Arc<Family<1>>,
    pub(crate) connections: Arc<Number>,
    pub(crate) streams: Arc<Number>,
    pub(crate) published: Arc<Family<2>>,
    pub(crate) removed: Arc<Family<1>>,
    pub(crate) postgres_errors: Arc<Number>,
}

/// A request with its answer, as far as it may be told.
pub(crate) struct ResponseLabels {
    pub(crate) method: &'static str,
    pub(crate) pattern: &'static str,
    pub(crate) status: &'static str,
    pub(crate) problem: Option<ProblemLabels>,
    pub(crate) took: Duration,
}

/// What a problem says about itself to who counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProblemLabels {
    pub(crate) slug: &'static str,
    /// Whose limit it was, of "too many".
    pub(crate) scope: Option<&'static str>,
    /// How long the code was, if this was a guess that counts.
    pub(crate) guessed: Option<u8>,
}

impl Metrics {
    pub(crate) fn new(all: &Registry) -> Self {
        let accepted = [["accepted"]];
        Self {
            requests: all.family(names::HTTP_REQUESTS),
            seconds: all.family(names::HTTP_SECONDS),
            registrations: all.family(names::REGISTRATIONS).with([["accepted"], ["repeated"]]),
            resends: all.family(names::RESENDS).with(accepted),
            activations: all.family(names::ACTIVATIONS).with(accepted),
            logins: all.family(names::LOGINS).with(accepted),
            resets: all.family(names::PASSWORD_RESETS).with([["asked"], ["changed"]]),
            minted: all.family(names::CODES_MINTED),
            wrong_guesses: all.family(names::WRONG_GUESSES),
            limiter_hits: all.family(names::LIMITER_HITS).with([["address"], ["network"], ["account"]]),
            connections: all.one(names::CONNECTIONS_OPEN),
            streams: all.one(names::STREAMS_OPEN),
            published: all.family(names::OUTBOX_PUBLISHED).with([
                ["mail", "done"],
                ["mail", "failed"],
                ["event", "done"],
                ["event", "failed"],
            ]),
            removed: all.family(names::HOUSEKEEPING_ROWS),
            postgres_errors: all.family(names::POSTGRES_ERRORS).of(["api"]),
        }
    }

    /// At the edge, once for each request.
    pub(crate) fn answered(&self, ResponseLabels { method, pattern, status, problem, took }: ResponseLabels) {
        self.requests.count([method, pattern, status]);
        self.seconds.of([pattern]).observe(took);
        if let Some(problem) = &problem {
            self.refused(problem, if pattern == RESETTING { RESET } else { ACTIVATE });
        }
        let (outcomes, done) = match (method, pattern) {
            // Those that mint a code say so themselves.
            ("POST", "/v1/users") => (&self.registrations, None),
            ("POST", "/v1/users/resend") => (&self.resends, None),
            ("POST", "/v1/users/password/forgot") => (&self.resets, None),
            ("POST", "/v1/users/activate") => (&self.activations, Some("accepted")),
            ("POST", "/v1/users/login") => (&self.logins, Some("accepted")),
            ("POST", RESETTING) => (&self.resets, Some("changed")),
            _ => return,
        };
        if let Some(outcome) = problem.map(|problem| problem.slug).or(done.filter(|_| status.starts_with('2'))) {
            outcomes.count([outcome]);
        }
    }

    /// The client was gone before there was an answer: how long that took is no time of ours.
    pub(crate) fn given_up(&self, method: &'static str, pattern: &'static str, status: &'static str) {
        self.requests.count([method, pattern, status]);
    }

    fn refused(&self, problem: &ProblemLabels, purpose: &'static str) {
        if let Some(scope) = problem.scope {
            self.limiter_hits.count([scope]);
        }
        if let Some(length) = problem.guessed {
            self.wrong_guesses.count([purpose, digits(length)]);
        }
        if problem.slug == "unavailable" {
            self.postgres_errors.add(1);
        }
    }

    /// When it is committed.
    pub(crate) fn minted(&self, wanted: CodePurpose, length: u8) {
        let (outcomes, outcome, purpose) = match wanted {
            CodePurpose::Registration => (&self.registrations, "accepted", ACTIVATE),
            CodePurpose::Resend => (&self.resends, "accepted", ACTIVATE),
            CodePurpose::Reset => (&self.resets, "asked", RESET),
        };
        outcomes.count([outcome]);
        self.minted.count([purpose, digits(length)]);
    }

    pub(crate) fn repeated(&self) {
        self.registrations.count(["repeated"]);
    }
}

/// The length of a code.
fn digits(length: u8) -> &'static str {
    const ALL: [&str; 11] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
    ALL.get(usize::from(length)).unwrap_or(&"more")
}
