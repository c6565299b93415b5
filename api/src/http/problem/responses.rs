//! Declares in an operation's return type which problems it may return, so that the OpenAPI document lists them all.

use std::marker::PhantomData;

use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use crate::{
    error::Error,
    http::problem::{CONTENT_TYPE, Problem, ProblemDefinition, ProblemKind},
};

/// Names the problems of one operation.
pub(crate) trait OperationProblems: Send + Sync + 'static {
    const KINDS: &'static [ProblemKind];
}

/// Declares one type per operation that implements `OperationProblems`: `Operation: Kind, Kind;`.
macro_rules! operation_problems {
    ($($operation:ident: $($kind:ident),+;)+) => {
        $(struct $operation;
        impl OperationProblems for $operation {
            const KINDS: &'static [ProblemKind] = &[$(ProblemKind::$kind),+];
        })+
    };
}
pub(crate) use operation_problems;

/// The error type of an operation whose problems are `R`.
pub(crate) struct OperationProblem<R>(Problem, PhantomData<R>);

/// Logs the cause of a 5xx response. The client does not learn it.
pub(crate) fn log_server_error(error: &Error) {
    match error {
        Error::Internal(error) => tracing::error!(error = format!("{error:#}"), "internal error"),
        Error::Unavailable(error) => tracing::warn!(error = format!("{error:#}"), "dependency unavailable"),
        _ => {}
    }
}

impl<R> From<Error> for OperationProblem<R> {
    fn from(error: Error) -> Self {
        log_server_error(&error);
        Self(error.into(), PhantomData)
    }
}

impl<R> From<Problem> for OperationProblem<R> {
    fn from(problem: Problem) -> Self {
        Self(problem, PhantomData)
    }
}

impl<R> From<OperationProblem<R>> for poem::Error {
    fn from(problem: OperationProblem<R>) -> Self {
        problem.0.into()
    }
}

impl<R: OperationProblems> ApiResponse for OperationProblem<R> {
    fn meta() -> MetaResponses {
        let mut responses: Vec<MetaResponse> = Vec::new();
        for kind in R::KINDS {
            let &ProblemDefinition { status, slug, title, .. } = kind.definition();
            match responses.iter_mut().find(|response| response.status == Some(status)) {
                Some(response) => {
                    response.description = leak(format!("{}; `{slug}`: {title}", response.description));
                }
                None => responses.push(response(status, leak(format!("`{slug}`: {title}")))),
            }
        }
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}

fn response(status: u16, description: &'static str) -> MetaResponse {
    let header = |name: &str, schema| MetaHeader {
        name: name.into(),
        description: None,
        required: true,
        deprecated: false,
        schema,
    };
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType { content_type: CONTENT_TYPE, schema: ProblemBody::schema_ref() }],
        headers: match status {
            401 => vec![header("WWW-Authenticate", String::schema_ref())],
            429 | 503 => vec![header("Retry-After", u32::schema_ref())],
            _ => vec![],
        },
    }
}

/// The OpenAPI registry takes static descriptions only. Leaks once per process, when the document is built.
fn leak(text: String) -> &'static str {
    text.leak()
}

// Only its schema is used: the request middleware writes the responses.
/// A problem document (RFC 9457).
#[derive(Object)]
#[oai(rename = "Problem")]
struct ProblemBody {
    /// Identifies the kind of problem. Its last segment is the slug.
    r#type: String,
    title: String,
    status: u16,
    /// What happened and what to do.
    detail: String,
    /// The same id as in `X-Request-Id`.
    request_id: String,
    /// All invalid fields (`invalid-input`).
    errors: Option<Vec<FieldErrorBody>>,
    /// How many attempts the code has left (`wrong-code`).
    attempts_left: Option<u8>,
    /// Which limit was exceeded: `address`, `network` or `account` (`too-many-requests`).
    scope: Option<String>,
    /// Seconds until the request may be repeated (`too-many-requests`).
    retry_after: Option<u32>,
}

#[derive(Object)]
#[oai(rename = "FieldError")]
struct FieldErrorBody {
    field: String,
    code: String,
    message: String,
}
