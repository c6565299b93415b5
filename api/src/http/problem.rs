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
    kind: ProblemKind,
    pub(crate) status: u16,
    /// The last segment of the problem's `type`.
    pub(crate) slug: &'static str,
    pub(crate) title: &'static str,
    /// The text of the page that the problem's `type` leads to: what happened, then what to do.
    pub(crate) explanation: &'static str,
}

/// The table of all problems, in the order of `ProblemKind`.
///
/// A title must not contain "; ", which separates problems in the OpenAPI descriptions.
static PROBLEMS: [ProblemDefinition; 18] = [
    ProblemDefinition {
        kind: ProblemKind::MalformedRequest,
        status: 400,
        slug: "malformed-request",
        title: "The request is malformed",
        explanation: "The body is not the expected JSON, or the path, a header or a parameter cannot be parsed. Compare the \
                      request with the API reference. The same request fails again.",
    },
    ProblemDefinition {
        kind: ProblemKind::Unauthenticated,
        status: 401,
        slug: "unauthenticated",
        title: "The credentials are missing or wrong",
        explanation: "The response header WWW-Authenticate names what is expected: HTTP Basic with the email address and the \
                      password, or a bearer token from a log-in. The response is the same whether or not the email address \
                      is known.",
    },
    ProblemDefinition {
        kind: ProblemKind::NotActivated,
        status: 403,
        slug: "not-activated",
        title: "The registration is not activated",
        explanation: "The password is correct, but the code from the mail has not been entered yet. Activate the \
                      registration, or request a new code.",
    },
    ProblemDefinition {
        kind: ProblemKind::NotFound,
        status: 404,
        slug: "not-found",
        title: "Not found",
        explanation: "The path does not exist, or nothing exists under the id in it: it may have been deleted after its \
                      retention time. Check the path and the id.",
    },
    ProblemDefinition {
        kind: ProblemKind::MethodNotAllowed,
        status: 405,
        slug: "method-not-allowed",
        title: "The method is not allowed",
        explanation: "The path exists, but not with this method. The response header Allow lists the methods.",
    },
    ProblemDefinition {
        kind: ProblemKind::AlreadyActive,
        status: 409,
        slug: "already-active",
        title: "The account is already active",
        explanation: "The registration was activated before, so there is nothing left to activate. Log in.",
    },
    ProblemDefinition {
        kind: ProblemKind::IdempotencyMismatch,
        status: 409,
        slug: "idempotency-mismatch",
        title: "The Idempotency-Key was used for another request",
        explanation: "A key stands for one request for 24 hours. Repeat the request unchanged to get its receipt again, or \
                      use a new key for a new request.",
    },
    ProblemDefinition {
        kind: ProblemKind::CodeExpired,
        status: 410,
        slug: "code-expired",
        title: "The code has expired",
        explanation: "A code is valid for a short time after the mail server accepted the mail. Request a new code.",
    },
    ProblemDefinition {
        kind: ProblemKind::CodeExhausted,
        status: 410,
        slug: "code-exhausted",
        title: "The code has no attempts left",
        explanation: "The code was entered wrong too often and cannot be used any more. Request a new code.",
    },
    ProblemDefinition {
        kind: ProblemKind::RegistrationClosed,
        status: 410,
        slug: "registration-closed",
        title: "The registration is closed",
        explanation: "The registration is too old, another registration of the same email address was activated, or the \
                      owner of the mailbox reported it. Register again.",
    },
    ProblemDefinition {
        kind: ProblemKind::PayloadTooLarge,
        status: 413,
        slug: "payload-too-large",
        title: "The request body is too large",
        explanation: "A request body has at most 16 KiB. Send a smaller one.",
    },
    ProblemDefinition {
        kind: ProblemKind::UnsupportedMediaType,
        status: 415,
        slug: "unsupported-media-type",
        title: "The request body must be JSON",
        explanation: "Send the body as Content-Type: application/json, without Content-Encoding.",
    },
    ProblemDefinition {
        kind: ProblemKind::InvalidInput,
        status: 422,
        slug: "invalid-input",
        title: "The input is invalid",
        explanation: "The member errors lists every invalid field with a code for programs and a message for users. Correct \
                      these fields and send the request again.",
    },
    ProblemDefinition {
        kind: ProblemKind::WrongCode,
        status: 422,
        slug: "wrong-code",
        title: "The code is wrong",
        explanation: "The member attempts_left says how many attempts remain for this code. The newest mail has the code \
                      that counts.",
    },
    ProblemDefinition {
        kind: ProblemKind::TooManyRequests,
        status: 429,
        slug: "too-many-requests",
        title: "Too many requests",
        explanation: "A rate limit was reached. The member scope says whether it is the limit of the email address, of your \
                      network or of the account. Wait for the seconds in Retry-After; an earlier request fails again.",
    },
    ProblemDefinition {
        kind: ProblemKind::Internal,
        status: 500,
        slug: "internal",
        title: "Internal server error",
        explanation: "The service has a bug or a damaged database. Report the request_id to the operator, who finds it in \
                      the log.",
    },
    ProblemDefinition {
        kind: ProblemKind::Overloaded,
        status: 503,
        slug: "overloaded",
        title: "The service is overloaded",
        explanation: "More requests arrived than the service can process in time. Nothing was changed. Repeat the request \
                      after the seconds in Retry-After.",
    },
    ProblemDefinition {
        kind: ProblemKind::Unavailable,
        status: 503,
        slug: "unavailable",
        title: "The service is temporarily unavailable",
        explanation: "A part of the service, such as its database, does not respond. Repeat the request after the seconds in \
                      Retry-After, with the same Idempotency-Key if it had one.",
    },
];

impl ProblemKind {
    /// The row of this problem.
    pub(crate) fn definition(self) -> &'static ProblemDefinition {
        let definition = &PROBLEMS[self as usize];
        debug_assert_eq!(definition.kind, self, "the table is in the order of the enum");
        definition
    }
}

/// The problem with this slug.
pub(crate) fn find(slug: &str) -> Option<&'static ProblemDefinition> {
    PROBLEMS.iter().find(|definition| definition.slug == slug)
}

/// An error on its way to the client. The request middleware turns it into a response, because it knows the request id.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?}")]
pub(crate) struct Problem {
    kind: ProblemKind,
    /// What happened, then what to do.
    pub(crate) detail: Cow<'static, str>,
    /// Members beyond those of RFC 9457.
    members: Vec<(&'static str, Value)>,
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
        Self { kind, detail: detail.into(), members: vec![], headers, scope: None, guessed_code_length: None }
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

    fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((member, value.into()));
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
        let &ProblemDefinition { status, slug, title, .. } = self.kind.definition();
        let mut body: Map<_, _> =
            self.members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_kinds() {
        for (n, definition) in PROBLEMS.iter().enumerate() {
            assert_eq!(definition.kind as usize, n, "{}", definition.slug);
            assert_eq!(find(definition.slug).map(|found| found.kind), Some(definition.kind), "slugs are unique");
            let texts = [definition.slug, definition.title, definition.explanation];
            assert!(texts.iter().all(|text| !text.contains(['<', '>', '&', '"'])), "no escaping in HTML: {texts:?}");
            assert!(definition.explanation.ends_with('.') && !definition.title.contains("; "));
        }
    }
}
