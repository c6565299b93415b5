//! Maps errors of the web framework (poem) to problems.
//!
//! Poem's own messages are never used, because they repeat what the client sent, which may be a secret.

use poem::{
    Error as PoemError,
    error::{MethodNotAllowedError, NotFoundError, ReadBodyError},
    http::StatusCode,
};
use poem_openapi::error::{
    AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};

use crate::{
    error::Error,
    http::problem::{Problem, ProblemKind},
};

/// The problem for an error that a route returned.
pub(crate) fn problem(error: PoemError) -> Problem {
    let error = match error.downcast::<Problem>() {
        Ok(problem) => return problem,
        Err(error) => error,
    };
    if error.is::<NotFoundError>() {
        Problem::new(ProblemKind::NotFound, "This path does not exist. Check the path of the request.")
    } else if error.is::<MethodNotAllowedError>() {
        let detail = "This path does not support the method. Use one of the methods in the Allow header.";
        Problem::new(ProblemKind::MethodNotAllowed, detail)
    } else if error.is::<AuthorizationError>() {
        Error::Unauthenticated.into()
    } else if error.is::<ContentTypeError>() {
        let detail = "The content type is not supported. Send the body as Content-Type: application/json.";
        Problem::new(ProblemKind::UnsupportedMediaType, detail)
    } else if error.is::<ParseRequestPayloadError>() {
        let detail = "The body cannot be parsed. Send a JSON object whose members are strings.";
        Problem::new(ProblemKind::MalformedRequest, detail)
    } else if error.is::<ParsePathError>() {
        let detail = "The path does not contain a valid id. Use the id from a receipt.";
        Problem::new(ProblemKind::MalformedRequest, detail)
    } else if error.is::<ParseParamError>() {
        let detail = "A header or a parameter cannot be parsed. Compare the request with the documentation.";
        Problem::new(ProblemKind::MalformedRequest, detail)
    } else if let Some(error) = error.downcast_ref::<ReadBodyError>() {
        body_problem(error)
    } else if error.status().is_client_error() {
        let detail = "The request cannot be parsed. Compare it with the documentation.";
        Problem::new(ProblemKind::MalformedRequest, detail)
    } else {
        unexpected(error.status())
    }
}

/// The problem for a body that cannot be read.
pub(crate) fn body_problem(error: &ReadBodyError) -> Problem {
    match error {
        ReadBodyError::PayloadTooLarge => {
            Problem::new(ProblemKind::PayloadTooLarge, "The body is larger than 16 KiB. Send a smaller body.")
        }
        _ => Problem::new(ProblemKind::MalformedRequest, "The body ended too early. Send the whole body again."),
    }
}

fn unexpected(status: StatusCode) -> Problem {
    tracing::error!(%status, "unexpected error of the web framework");
    Problem::internal()
}
