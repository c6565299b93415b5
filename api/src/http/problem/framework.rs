//! What poem complains about, as problems. Its own words are never used: they repeat what was sent.

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

pub(crate) fn problem(error: PoemError) -> Problem {
    let error = match error.downcast::<Problem>() {
        Ok(problem) => return problem,
        Err(error) => error,
    };
    if error.is::<NotFoundError>() {
        Problem::new(ProblemKind::NotFound, "There is no such path.")
    } else if error.is::<MethodNotAllowedError>() {
        Problem::new(ProblemKind::MethodNotAllowed, "The Allow header says what can be done at this path.")
    } else if error.is::<AuthorizationError>() {
        Error::Unauthenticated.into()
    } else if error.is::<ContentTypeError>() {
        Problem::new(ProblemKind::UnsupportedMediaType, "Send the body as Content-Type: application/json.")
    } else if error.is::<ParseRequestPayloadError>() {
        Problem::new(ProblemKind::MalformedRequest, "The body must be a JSON object whose members are strings.")
    } else if error.is::<ParsePathError>() {
        Problem::new(ProblemKind::MalformedRequest, "The path does not hold a valid id.")
    } else if error.is::<ParseParamError>() {
        Problem::new(ProblemKind::MalformedRequest, "A header or parameter cannot be read.")
    } else if let Some(error) = error.downcast_ref::<ReadBodyError>() {
        body(error)
    } else if error.status().is_client_error() {
        Problem::new(ProblemKind::MalformedRequest, "The request cannot be read.")
    } else {
        unknown(error.status())
    }
}

pub(crate) fn body(error: &ReadBodyError) -> Problem {
    match error {
        ReadBodyError::PayloadTooLarge => Problem::new(ProblemKind::PayloadTooLarge, "A body has at most 16 KiB."),
        _ => Problem::new(ProblemKind::MalformedRequest, "The body could not be read to its end."),
    }
}

fn unknown(status: StatusCode) -> Problem {
    tracing::error!(%status, "the framework failed in a way we do not know");
    Problem::new(ProblemKind::Internal, "It is in our log under this request_id.")
}
