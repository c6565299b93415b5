//! Errors as RFC 9457 problems: what a client is told, and how.

pub(crate) mod framework;
mod of_error;
pub(crate) mod responses;

use std::ops::RangeInclusive;

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{domain::policy::Scope, metrics::ProblemLabels, rng};

pub(crate) const CONTENT_TYPE: &str = "application/problem+json";
const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="vestibule", charset="UTF-8""#);
const BEARER: HeaderValue = HeaderValue::from_static(r#"Bearer realm="vestibule""#);

/// After so long, whoever met an overload or an outage may try again. Not all at once: they came together,
/// and would only meet again.
const RETRY_SECONDS: RangeInclusive<i64> = 1..=3;

/// The kinds of problem that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    MalformedRequest,
    Unauthenticated,
    NotActivated,
    NotFound,
    MethodNotAllowed,
    AlreadyActive,
    IdempotencyMismatch,
    CodeExpired,
    CodeExhausted,
    RegistrationClosed,
    PayloadTooLarge,
    UnsupportedMediaType,
    InvalidInput,
    WrongCode,
    TooManyRequests,
    Internal,
    Overloaded,
    Unavailable,
}

impl ProblemKind {
    /// Status, slug, title.
    pub(crate) fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (400, "malformed-request", "The request cannot be read"),
            Self::Unauthenticated => (401, "unauthenticated", "No or wrong credentials"),
            Self::NotActivated => (403, "not-activated", "The registration is not activated"),
            Self::NotFound => (404, "not-found", "There is nothing here"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "This cannot be done here"),
            Self::AlreadyActive => (409, "already-active", "The account is active already"),
            Self::IdempotencyMismatch => (409, "idempotency-mismatch", "The key was used for another request"),
            Self::CodeExpired => (410, "code-expired", "The code has expired"),
            Self::CodeExhausted => (410, "code-exhausted", "The code has no tries left"),
            Self::RegistrationClosed => (410, "registration-closed", "The registration is closed"),
            Self::PayloadTooLarge => (413, "payload-too-large", "The body is too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "The body must be JSON"),
            Self::InvalidInput => (422, "invalid-input", "Something is wrong with the input"),
            Self::WrongCode => (422, "wrong-code", "The code is not right"),
            Self::TooManyRequests => (429, "too-many-requests", "Too many requests"),
            Self::Internal => (500, "internal", "Something went wrong on our side"),
            Self::Overloaded => (503, "overloaded", "Too busy just now"),
            Self::Unavailable => (503, "unavailable", "A part of the service is away"),
        }
    }
}

/// An error on its way out. It becomes an answer at the edge, where the request's id is known.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?}")]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: &'static str,
    members: Map<String, Value>,
    pub(crate) headers: Vec<(header::HeaderName, HeaderValue)>,
    /// Whose limit it was, of "too many".
    scope: Option<Scope>,
    /// How long the code was, if this was a guess that counts.
    guessed: Option<u8>,
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Problem {
    pub(crate) fn counted(&self) -> ProblemLabels {
        ProblemLabels { slug: self.kind.row().1, scope: self.scope.map(name), guessed: self.guessed }
    }

    pub(crate) fn new(kind: ProblemKind, detail: &'static str) -> Self {
        let (members, headers) = (Map::new(), Vec::new());
        let mut problem = Self { kind, detail, members, headers, scope: None, guessed: None };
        match kind {
            ProblemKind::Unauthenticated => problem.headers.push((header::WWW_AUTHENTICATE, BASIC)),
            ProblemKind::Overloaded | ProblemKind::Unavailable => {
                problem.headers.push((header::RETRY_AFTER, rng::in_range(RETRY_SECONDS).into()))
            }
            _ => {}
        }
        problem
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn body(&self, public_url: &str, request_id: &str) -> Value {
        let (status, slug, title) = self.kind.row();
        let mut body = self.members.clone();
        body.insert("type".into(), format!("{public_url}/problems/{slug}").into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), status.into());
        body.insert("detail".into(), self.detail.into());
        body.insert("request_id".into(), request_id.into());
        Value::Object(body)
    }

    pub(crate) fn respond(self, public_url: &str, request_id: Uuid) -> Response {
        let body = self.body(public_url, &request_id.to_string()).to_string();
        let mut response = Response::builder().status(self.status()).content_type(CONTENT_TYPE).body(body);
        response.headers_mut().extend(self.headers);
        response
    }
}

fn name(scope: Scope) -> &'static str {
    match scope {
        Scope::Address => "address",
        Scope::Network => "network",
        Scope::Account => "account",
    }
}
