//! One table from refusal to problem.

use poem::http::header;
use serde_json::{Value, json};

use super::{BEARER, Kind, Problem, name};
use crate::{
    domain::policy::{Fault, Scope, TooMany},
    error::Refusal,
};

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
            Refusal::NoSession => {
                let wanted = "Log in, and send the token as Authorization: Bearer. This one is over, or never was one.";
                let headers = vec![(header::WWW_AUTHENTICATE, BEARER)];
                Self { headers, ..Self::new(Kind::Unauthenticated, wanted) }
            }
            Refusal::WrongPassword => {
                let headers = vec![(header::WWW_AUTHENTICATE, BEARER)];
                Self { headers, ..Self::new(Kind::Unauthenticated, "The token is good, but this is not the password.") }
            }
            Refusal::NotActivated => Self::new(
                Kind::NotActivated,
                "The password is right. Activate with the code from the mail first, or ask for another one.",
            ),
            Refusal::NotFound => Self::new(Kind::NotFound, "There is nothing under this id."),
            Refusal::AlreadyActive => Self::new(Kind::AlreadyActive, "There is nothing left to do."),
            Refusal::IdempotencyMismatch => {
                Self::new(Kind::IdempotencyMismatch, "Use a new Idempotency-Key for a new request.")
            }
            Refusal::CodeExpired => Self::new(Kind::CodeExpired, "Ask for a new code."),
            Refusal::CodeExhausted => Self::new(Kind::CodeExhausted, "It was tried too often. Ask for a new code."),
            Refusal::RegistrationClosed => Self::new(Kind::RegistrationClosed, "Register again."),
            Refusal::WrongCode { attempts_left, length } => {
                let last = "That was the last try. Ask for a new code.";
                let detail = if attempts_left == 0 { last } else { "Look at the newest mail and try again." };
                let mut problem = Self::new(Kind::WrongCode, detail).with("attempts_left", attempts(attempts_left));
                problem.guessed = Some(length);
                problem
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
    let detail = match scope {
        Scope::Address => "This address has had its share for now. Wait, then try again.",
        Scope::Network => "Your network has had its share for now. Wait, then try again.",
        Scope::Account => "The password was wrong too often. Wait, then try again.",
    };
    // Rounded up: a client that comes back exactly then is welcome.
    let seconds = retry_after.whole_seconds() + i64::from(retry_after.subsec_nanoseconds() > 0);
    let mut problem = Problem::new(Kind::TooManyRequests, detail)
        .with("scope", name(scope).into())
        .with("retry_after", seconds.into());
    problem.headers.push((header::RETRY_AFTER, seconds.into()));
    problem.scope = Some(scope);
    problem
}

fn fault(fault: &Fault) -> Value {
    json!({ "field": fault.field, "code": fault.code, "message": fault.message })
}
