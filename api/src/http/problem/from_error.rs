//! Maps domain errors to problems: one table for all operations.

use poem::http::header;
use serde_json::{Value, json};

use super::{BEARER, Problem, ProblemKind, scope_name, try_again_in};
use crate::{
    domain::policy::{FieldError, RateLimited, Scope},
    error::Error,
};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(errors) => {
                let detail = "One or more fields are invalid. Correct the fields that `errors` lists.";
                Self::new(ProblemKind::InvalidInput, detail).with("errors", field_errors(&errors))
            }
            Error::Unauthenticated => Self::new(
                ProblemKind::Unauthenticated,
                "The credentials are missing or wrong. Send the email address and the password of the registration. \
                 If the address was registered more than once, name the registration of the receipt.",
            ),
            Error::NoSession => {
                bearer("The token is missing, unknown or expired. Log in and send the token as Authorization: Bearer.")
            }
            Error::WrongPassword => bearer("The token is valid, but the password is wrong. Send the current password."),
            Error::NotActivated => Self::new(
                ProblemKind::NotActivated,
                "The password is correct, but the account is not active. Activate it with the code from the mail, or \
                 request a new code.",
            ),
            Error::NotFound => {
                Self::new(ProblemKind::NotFound, "Nothing exists under this id, or it was deleted. Check the id.")
            }
            Error::AlreadyActive => {
                Self::new(ProblemKind::AlreadyActive, "The account has already been activated. Log in.")
            }
            Error::IdempotencyMismatch => Self::new(
                ProblemKind::IdempotencyMismatch,
                "The Idempotency-Key was used for a request with other contents. Use a new key for a new request.",
            ),
            Error::CodeExpired => {
                Self::new(ProblemKind::CodeExpired, "The code is no longer valid. Request a new code.")
            }
            Error::CodeExhausted => {
                Self::new(ProblemKind::CodeExhausted, "Too many wrong attempts for this code. Request a new code.")
            }
            Error::RegistrationClosed => Self::new(
                ProblemKind::RegistrationClosed,
                "The registration is too old, or another registration of the address was activated. Register again.",
            ),
            Error::WrongCode { attempts_left, length } => {
                let mut problem = Self::new(ProblemKind::WrongCode, wrong_code_detail(attempts_left))
                    .with("attempts_left", attempts_left);
                problem.guessed_code_length = Some(length);
                problem
            }
            Error::CodeNotSent { attempts_left } => Self::new(
                ProblemKind::WrongCode,
                "The code has not been mailed yet; this attempt was not counted. Wait for the mail, then try again.",
            )
            .with("attempts_left", attempts_left),
            Error::RateLimited(limit) => rate_limited(limit),
            Error::Overloaded => {
                Self::retry_later(ProblemKind::Overloaded, "The service is too busy. Nothing was changed.")
            }
            Error::Unavailable(_) => Self::retry_later(
                ProblemKind::Unavailable,
                "A part of the service does not respond. Either the whole request took effect or nothing did.",
            ),
            Error::Internal(_) => Self::internal(),
        }
    }
}

/// A 401 that asks for a bearer token instead of Basic credentials.
fn bearer(detail: &'static str) -> Problem {
    let headers = vec![(header::WWW_AUTHENTICATE, BEARER)];
    Problem { headers, ..Problem::new(ProblemKind::Unauthenticated, detail) }
}

fn wrong_code_detail(attempts_left: u8) -> String {
    match attempts_left {
        0 => "The code is wrong and has no attempts left. Request a new code.".to_owned(),
        1 => "The code is wrong. 1 attempt is left. Check the newest mail and try again.".to_owned(),
        left => format!("The code is wrong. {left} attempts are left. Check the newest mail and try again."),
    }
}

fn rate_limited(RateLimited { scope, retry_after }: RateLimited) -> Problem {
    let what_happened = match scope {
        Scope::Address => "Too many requests for this email address.",
        Scope::Network => "Too many requests from your network.",
        Scope::Account => {
            "Too many attempts for this account. If it is locked, the mail about that has a link that lets you in."
        }
    };
    // Rounded up, so that a retry after exactly this time is not rejected again.
    let seconds = retry_after.whole_seconds() + i64::from(retry_after.subsec_nanoseconds() > 0);
    let detail = format!("{what_happened} {}", try_again_in(seconds));
    let mut problem = Problem::new(ProblemKind::TooManyRequests, detail)
        .with("scope", scope_name(scope))
        .with("retry_after", seconds);
    problem.headers.push((header::RETRY_AFTER, seconds.into()));
    problem.scope = Some(scope);
    problem
}

fn field_errors(errors: &[FieldError]) -> Vec<Value> {
    let to_json = |error: &FieldError| json!({ "field": error.field, "code": error.code, "message": error.message });
    errors.iter().map(to_json).collect()
}
