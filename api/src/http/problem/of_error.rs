//! One table from error to problem.

use poem::http::header;
use serde_json::{Value, json};

use super::{BEARER, Problem, ProblemKind, name};
use crate::{
    domain::policy::{FieldError, RateLimited, Scope},
    error::Error,
};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let attempts = |left: u8| Value::from(left);
        match error {
            Error::Invalid(faults) => {
                Self::new(ProblemKind::InvalidInput, "The members of `errors` say what is wrong.")
                    .with("errors", faults.iter().map(fault).collect())
            }
            Error::Unauthenticated => Self::new(
                ProblemKind::Unauthenticated,
                "Give the e-mail address and the password you registered with. If you registered more than once, name the registration of your receipt.",
            ),
            Error::NoSession => {
                let wanted = "Log in, and send the token as Authorization: Bearer. This one is over, or never was one.";
                let headers = vec![(header::WWW_AUTHENTICATE, BEARER)];
                Self { headers, ..Self::new(ProblemKind::Unauthenticated, wanted) }
            }
            Error::WrongPassword => {
                let headers = vec![(header::WWW_AUTHENTICATE, BEARER)];
                Self {
                    headers,
                    ..Self::new(ProblemKind::Unauthenticated, "The token is good, but this is not the password.")
                }
            }
            Error::NotActivated => Self::new(
                ProblemKind::NotActivated,
                "The password is right. Activate with the code from the mail first, or ask for another one.",
            ),
            Error::NotFound => Self::new(ProblemKind::NotFound, "There is nothing under this id."),
            Error::AlreadyActive => Self::new(ProblemKind::AlreadyActive, "There is nothing left to do."),
            Error::IdempotencyMismatch => {
                Self::new(ProblemKind::IdempotencyMismatch, "Use a new Idempotency-Key for a new request.")
            }
            Error::CodeExpired => Self::new(ProblemKind::CodeExpired, "Ask for a new code."),
            Error::CodeExhausted => {
                Self::new(ProblemKind::CodeExhausted, "It was tried too often. Ask for a new code.")
            }
            Error::RegistrationClosed => Self::new(ProblemKind::RegistrationClosed, "Register again."),
            Error::WrongCode { attempts_left, length } => {
                let last = "That was the last try. Ask for a new code.";
                let detail = if attempts_left == 0 { last } else { "Look at the newest mail and try again." };
                let mut problem =
                    Self::new(ProblemKind::WrongCode, detail).with("attempts_left", attempts(attempts_left));
                problem.guessed = Some(length);
                problem
            }
            Error::CodeNotSent { attempts_left } => {
                Self::new(ProblemKind::WrongCode, "No code has been mailed yet: wait for the mail. No try was counted.")
                    .with("attempts_left", attempts(attempts_left))
            }
            Error::RateLimited(limit) => too_many(limit),
            Error::Overloaded => Self::new(ProblemKind::Overloaded, "Nothing was done. Try again in a moment."),
            Error::Unavailable(_) => {
                Self::new(ProblemKind::Unavailable, "Nothing was half done. Try again in a moment.")
            }
            Error::Internal(_) => Self::new(ProblemKind::Internal, "It is in our log under this request_id."),
        }
    }
}

fn too_many(RateLimited { scope, retry_after }: RateLimited) -> Problem {
    let detail = match scope {
        Scope::Address => "This address has had its share for now. Wait, then try again.",
        Scope::Network => "Your network has had its share for now. Wait, then try again.",
        Scope::Account => "The password was wrong too often. Wait, then try again.",
    };
    // Rounded up: a client that comes back exactly then is welcome.
    let seconds = retry_after.whole_seconds() + i64::from(retry_after.subsec_nanoseconds() > 0);
    let mut problem = Problem::new(ProblemKind::TooManyRequests, detail)
        .with("scope", name(scope).into())
        .with("retry_after", seconds.into());
    problem.headers.push((header::RETRY_AFTER, seconds.into()));
    problem.scope = Some(scope);
    problem
}

fn fault(fault: &FieldError) -> Value {
    json!({ "field": fault.field, "code": fault.code, "message": fault.message })
}
