//! The problems that an operation may answer with, as part of its type, so that the spec keys them all.

use std::marker::PhantomData;

use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};

use crate::{
    error::Error,
    http::problem::{CONTENT_TYPE, Problem, ProblemKind},
};

/// SubjectKeys the problems of one operation.
pub(crate) trait OperationProblems: Send + Sync + 'static {
    const KINDS: &'static [ProblemKind];
}

macro_rules! operation_problems {
    ($($operation:ident: $($kind:ident),+;)+) => {
        $(struct $operation;
        impl OperationProblems for $operation {
            const KINDS: &'static [ProblemKind] = &[$(ProblemKind::$kind),+];
        })+
    };
}
pub(crate) use operation_problems;

/// What an operation that may be refused returns.
pub(crate) struct OperationProblem<R>(Problem, PhantomData<R>);

/// To the operator, what is none of the caller's business.
pub(crate) fn tell(error: &Error) {
    match error {
        Error::Internal(error) => tracing::error!(error = format!("{error:#}"), "internal error"),
        Error::Unavailable(error) => tracing::warn!(error = format!("{error:#}"), "unavailable"),
        _ => {}
    }
}

impl<R> From<Error> for OperationProblem<R> {
    fn from(error: Error) -> Self {
        tell(&error);
        Self(error.into(), PhantomData)
    }
}

impl<R> From<Problem> for OperationProblem<R> {
    fn from(problem: Problem) -> Self {
        Self(problem, PhantomData)
    }
}

impl<R> From<OperationProblem<R>> for poem::Error {
    fn from(refused: OperationProblem<R>) -> Self {
        refused.0.into()
    }
}

impl<R: OperationProblems> ApiResponse for OperationProblem<R> {
    fn meta() -> MetaResponses {
        let mut responses: Vec<MetaResponse> = Vec::new();
        for kind in R::KINDS {
            let (status, slug, title) = kind.row();
            match responses.iter_mut().find(|response| response.status == Some(status)) {
                Some(same) => same.description = leak(format!("{}; `{slug}`: {title}", same.description)),
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

/// The spec wants descriptions that live for ever; it is made once, when the process starts.
fn leak(text: String) -> &'static str {
    text.leak()
}

// Only its schema is used: answers are written at the edge.
/// RFC 9457.
#[derive(Object)]
#[oai(rename = "Problem")]
struct ProblemBody {
    /// SubjectKeys this kind of problem; it ends in its slug.
    r#type: String,
    title: String,
    status: u16,
    /// What to do about it.
    detail: String,
    /// The same as in `X-Request-Id`.
    request_id: String,
    /// Every fault of the input (`invalid-input`).
    errors: Option<Vec<FieldErrorBody>>,
    /// How many tries the code has left (`wrong-code`).
    attempts_left: Option<u8>,
    /// Whose limit it is: `address`, `network` or `account` (`too-many-requests`).
    scope: Option<String>,
    /// Seconds until it is worth trying again (`too-many-requests`).
    retry_after: Option<u32>,
}

#[derive(Object)]
#[oai(rename = "FieldError")]
struct FieldErrorBody {
    field: String,
    code: String,
    message: String,
}
