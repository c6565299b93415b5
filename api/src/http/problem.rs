//! Problem documents (RFC 9457): the table of all problems and how they become responses.

mod from_error;
pub(crate) mod from_poem;
pub(crate) mod responses;

use std::{borrow::Cow, ops::RangeInclusive};

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{domain::policy::Scope, metrics::ProblemLabels, rng};

/// The content type of problem documents.
pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="vestibule", charset="UTF-8""#);
const BEARER: HeaderValue = HeaderValue::from_static(r#"Bearer realm="vestibule""#);

/// `Retry-After` of 503 responses, chosen at random: clients that failed at the same moment must not retry at the same
/// moment.
const RETRY_SECONDS: RangeInclusive<i64> = 1..=3;

/// All problems. `definition` has their status, slug and title.
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

/// What all problems of one kind have in common.
pub(crate) struct ProblemDefinition {
    pub(crate) status: u16,
    /// The last segment of the problem's `type`.
    pub(crate) slug: &'static str,
    pub(crate) title: &'static str,
    /// The text of the page that the problem's `type` leads to: what happened, then what to do.
    pub(crate) explanation: &'static str,
}

impl ProblemKind {
    /// All problems, in the order of their status.
    pub(crate) const ALL: [Self; 18] = [
        Self::MalformedRequest,
        Self::Unauthenticated,
        Self::NotActivated,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::AlreadyActive,
        Self::IdempotencyMismatch,
        Self::CodeExpired,
        Self::CodeExhausted,
        Self::RegistrationClosed,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidInput,
        Self::WrongCode,
        Self::TooManyRequests,
        Self::Internal,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// The table of all problems. A title must not contain "; ", which separates problems in the OpenAPI descriptions.
    pub(crate) fn definition(self) -> ProblemDefinition {
        let (status, slug, title, explanation) = match self {
            Self::MalformedRequest => (
                400,
                "malformed-request",
                "The request is malformed",
                "The body is not the expected JSON, or the path, a header or a parameter cannot be parsed. Compare the \
                 request with the API reference. The same request fails again.",
            ),
            Self::Unauthenticated => (
                401,
                "unauthenticated",
                "The credentials are missing or wrong",
                "The response header WWW-Authenticate names what is expected: HTTP Basic with the email address and the \
                 password, or a bearer token from a log-in. The response is the same whether or not the email address \
                 is known.",
            ),
            Self::NotActivated => (
                403,
                "not-activated",
                "The registration is not activated",
                "The password is correct, but the code from the mail has not been entered yet. Activate the \
                 registration, or request a new code.",
            ),
            Self::NotFound => (
                404,
                "not-found",
                "Not found",
                "The path does not exist, or nothing exists under the id in it: it may have been deleted after its \
                 retention time. Check the path and the id.",
            ),
            Self::MethodNotAllowed => (
                405,
                "method-not-allowed",
                "The method is not allowed",
                "The path exists, but not with this method. The response header Allow lists the methods.",
            ),
            Self::AlreadyActive => (
                409,
                "already-active",
                "The account is already active",
                "The registration was activated before, so there is nothing left to activate. Log in.",
            ),
            Self::IdempotencyMismatch => (
                409,
                "idempotency-mismatch",
                "The Idempotency-Key was used for another request",
                "A key stands for one request for 24 hours. Repeat the request unchanged to get its receipt again, or \
                 use a new key for a new request.",
            ),
            Self::CodeExpired => (
                410,
                "code-expired",
                "The code has expired",
                "A code is valid for a short time after the mail server accepted the mail. Request a new code.",
            ),
            Self::CodeExhausted => (
                410,
                "code-exhausted",
                "The code has no attempts left",
                "The code was entered wrong too often and cannot be used any more. Request a new code.",
            ),
            Self::RegistrationClosed => (
                410,
                "registration-closed",
                "The registration is closed",
                "The registration is too old, another registration of the same email address was activated, or the \
                 owner of the mailbox reported it. Register again.",
            ),
            Self::PayloadTooLarge => (
                413,
                "payload-too-large",
                "The request body is too large",
                "A request body has at most 16 KiB. Send a smaller one.",
            ),
            Self::UnsupportedMediaType => (
                415,
                "unsupported-media-type",
                "The request body must be JSON",
                "Send the body as Content-Type: application/json, without Content-Encoding.",
            ),
            Self::InvalidInput => (
                422,
                "invalid-input",
                "The input is invalid",
                "The member errors lists every invalid field with a code for programs and a message for people. Correct \
                 these fields and send the request again.",
            ),
            Self::WrongCode => (
                422,
                "wrong-code",
                "The code is wrong",
                "The member attempts_left tells how many attempts remain for this code. The newest mail has the code \
                 that counts.",
            ),
            Self::TooManyRequests => (
                429,
                "too-many-requests",
                "Too many requests",
                "A rate limit was reached. The member scope tells whether it is the limit of the email address, of your \
                 network or of the account. Wait for the seconds in Retry-After; an earlier request fails again.",
            ),
            Self::Internal => (
                500,
                "internal",
                "Internal server error",
                "The service has a bug or a damaged database. Report the request_id to the operator, who finds it in \
                 the log.",
            ),
            Self::Overloaded => (
                503,
                "overloaded",
                "The service is overloaded",
                "More requests arrived than the service can process in time. Nothing was changed. Repeat the request \
                 after the seconds in Retry-After.",
            ),
            Self::Unavailable => (
                503,
                "unavailable",
                "The service is temporarily unavailable",
                "A part of the service, such as its database, does not respond. Repeat the request after the seconds in \
                 Retry-After, with the same Idempotency-Key if it had one.",
            ),
        };
        ProblemDefinition { status, slug, title, explanation }
    }
}

/// An error on its way to the client. The request middleware turns it into a response, because it knows the request id.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?}")]
pub(crate) struct Problem {
    kind: ProblemKind,
    /// What happened, then what to do.
    pub(crate) detail: Cow<'static, str>,
    /// Members beyond those of RFC 9457.
    members: Map<String, Value>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Metric label: which limit was exceeded (`too-many-requests`).
    scope: Option<Scope>,
    /// Metric label: the length of the code, for a wrong guess that counts.
    guessed_code_length: Option<u8>,
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.definition().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl Problem {
    /// A problem with the header that its status requires. For 503, use `retry_later`.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let headers = match kind {
            ProblemKind::Unauthenticated => vec![(header::WWW_AUTHENTICATE, BASIC)],
            _ => vec![],
        };
        Self { kind, detail: detail.into(), members: Map::new(), headers, scope: None, guessed_code_length: None }
    }

    /// A problem that a later attempt may not have: `what_happened`, then when to try again.
    fn retry_later(kind: ProblemKind, what_happened: &str) -> Self {
        let seconds = rng::in_range(RETRY_SECONDS);
        let mut problem = Self::new(kind, format!("{what_happened} {}", try_again_in(seconds)));
        problem.headers.push((header::RETRY_AFTER, seconds.into()));
        problem
    }

    /// A bug or a broken database. The client learns nothing but the request id.
    pub(crate) fn internal() -> Self {
        let detail = "The request failed because of an error in the service. Report the request_id to the operator.";
        Self::new(ProblemKind::Internal, detail)
    }

    fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// The labels under which the problem is counted.
    pub(crate) fn labels(&self) -> ProblemLabels {
        ProblemLabels {
            slug: self.kind.definition().slug,
            scope: self.scope.map(scope_name),
            guessed: self.guessed_code_length,
        }
    }

    fn body(&self, public_url: &str, request_id: &str) -> Value {
        let ProblemDefinition { status, slug, title, .. } = self.kind.definition();
        let mut body = self.members.clone();
        body.insert("type".into(), format!("{public_url}/problems/{slug}").into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), status.into());
        body.insert("detail".into(), self.detail.as_ref().into());
        body.insert("request_id".into(), request_id.into());
        Value::Object(body)
    }

    /// The problem document as a response.
    pub(crate) fn into_response(self, public_url: &str, request_id: Uuid) -> Response {
        let body = self.body(public_url, &request_id.to_string()).to_string();
        let mut response = Response::builder().status(self.status()).content_type(CONTENT_TYPE).body(body);
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The value of the member `scope`, also a metric label.
fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Address => "address",
        Scope::Network => "network",
        Scope::Account => "account",
    }
}

fn try_again_in(seconds: i64) -> String {
    format!("Try again in {seconds} second{}.", if seconds == 1 { "" } else { "s" })
}
