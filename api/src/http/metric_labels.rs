//! Metric labels of requests and responses: closed lists, so that no client can create new time series.

use poem::http::{Method, StatusCode};

use crate::{http::paths, metrics::CountedOperation};

/// The status label of a request that was aborted before its response (nginx's 499).
pub(crate) const CLIENT_GONE: &str = "499";

/// The label of a method; `other` for methods that no route has.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The label of a status; `other` for statuses that no route returns.
pub(crate) fn status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        202 => "202",
        204 => "204",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        409 => "409",
        410 => "410",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}

/// The operation of a route whose outcomes are counted beside its requests.
pub(crate) fn operation(method: &str, pattern: &str) -> Option<CountedOperation> {
    if method != "POST" {
        return None;
    }
    match pattern {
        paths::USERS => Some(CountedOperation::Register),
        paths::RESEND => Some(CountedOperation::Resend),
        paths::ACTIVATE => Some(CountedOperation::Activate),
        paths::LOGIN => Some(CountedOperation::Login),
        paths::FORGOT_PASSWORD => Some(CountedOperation::ForgotPassword),
        paths::RESET_PASSWORD => Some(CountedOperation::ResetPassword),
        _ => None,
    }
}
