//! Errors as RFC 9457 problems: one table from refusal to status.

use std::ops::RangeInclusive;

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    chance,
    domain::policy::{Fault, Scope, TooMany},
    refusal::Refusal,
};

pub(super) const CONTENT_TYPE: &str = "application/problem+json";
const CHALLENGE: &str = r#"Basic realm="vestibule", charset="UTF-8""#;

/// After so long, whoever met an overload or an outage may try again. Not all at once: they came together,
/// and would only meet again.
const RETRY_SECONDS: RangeInclusive<i64> = 1..=3;

/// The kinds of problem that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    MalformedRequest,
    Unauthenticated,
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

impl Kind {
    /// Status, slug, title.
    pub(super) fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => (400, "malformed-request", "The request cannot be read"),
            Self::Unauthenticated => (401, "unauthenticated", "No or wrong credentials"),
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
pub(super) struct Problem {
    kind: Kind,
    detail: &'static str,
    members: Map<String, Value>,
    pub(super) headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: &'static str) -> Self {
        let mut problem = Self { kind, detail, members: Map::new(), headers: Vec::new() };
        match kind {
            Kind::Unauthenticated => {
                problem.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)))
            }
            Kind::Overloaded | Kind::Unavailable => {
                problem.headers.push((header::RETRY_AFTER, chance::one_of(RETRY_SECONDS).into()))
            }
            _ => {}
        }
        problem
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    pub(super) fn body(&self, public_url: &str, request_id: &str) -> Value {
        let (status, slug, title) = self.kind.row();
        let mut body = self.members.clone();
        body.insert("type".into(), format!("{public_url}/problems/{slug}").into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), status.into());
        body.insert("detail".into(), self.detail.into());
        body.insert("request_id".into(), request_id.into());
        Value::Object(body)
    }

    pub(super) fn respond(self, public_url: &str, request_id: Uuid) -> Response {
        let body = self.body(public_url, &request_id.to_string()).to_string();
        let mut response = Response::builder().status(self.status()).content_type(CONTENT_TYPE).body(body);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let attempts = |left: u8| Value::from(left);
        match refusal {
            Refusal::Invalid(faults) => Self::new(Kind::InvalidInput, "The members of `errors` say what is wrong.")
                .with("errors", faults.iter().map(fault).collect()),
            Refusal::Unauthenticated => Self::new(
                Kind::Unauthenticated,
                "Give the e-mail address and the password you registered with. If you registered more than once, name the registration of your receipt.",
            ),
            Refusal::NotFound => Self::new(Kind::NotFound, "There is no such registration."),
            Refusal::AlreadyActive => Self::new(Kind::AlreadyActive, "There is nothing left to do."),
            Refusal::IdempotencyMismatch => {
                Self::new(Kind::IdempotencyMismatch, "Use a new Idempotency-Key for a new request.")
            }
            Refusal::CodeExpired => Self::new(Kind::CodeExpired, "Ask for a new code."),
            Refusal::CodeExhausted => Self::new(Kind::CodeExhausted, "It was tried too often. Ask for a new code."),
            Refusal::RegistrationClosed => Self::new(Kind::RegistrationClosed, "Register again."),
            Refusal::WrongCode { attempts_left } => {
                let last = "That was the last try. Ask for a new code.";
                let detail = if attempts_left == 0 { last } else { "Look at the newest mail and try again." };
                Self::new(Kind::WrongCode, detail).with("attempts_left", attempts(attempts_left))
            }
            Refusal::CodeNotSent { attempts_left } => {
                Self::new(Kind::WrongCode, "No code has been mailed yet: wait for the mail. No try was counted.")
                    .with("attempts_left", attempts(attempts_left))
            }
            Refusal::TooMany(limit) => too_many(limit),
            Refusal::Overloaded => Self::new(Kind::Overloaded, "Nothing was done. Try again in a moment."),
            Refusal::Unavailable(_) => Self::new(Kind::Unavailable, "Nothing was half done. Try again in a moment."),
            Refusal::Internal(_) => Self::new(Kind::Internal, "It is in our log under this request_id."),
        }
    }
}

fn too_many(TooMany { scope, retry_after }: TooMany) -> Problem {
    let (scope, detail) = match scope {
        Scope::Address => ("address", "This address has had its share for now. Wait, then try again."),
        Scope::Network => ("network", "Your network has had its share for now. Wait, then try again."),
        Scope::Account => ("account", "The password was wrong too often. Wait, then try again."),
    };
    // Rounded up: a client that comes back exactly then is welcome.
    let seconds = retry_after.whole_seconds() + i64::from(retry_after.subsec_nanoseconds() > 0);
    let mut problem =
        Problem::new(Kind::TooManyRequests, detail).with("scope", scope.into()).with("retry_after", seconds.into());
    problem.headers.push((header::RETRY_AFTER, seconds.into()));
    problem
}

fn fault(fault: &Fault) -> Value {
    json!({ "field": fault.field, "code": fault.code, "message": fault.message })
}
