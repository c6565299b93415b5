//! Why a request was rejected or failed: a closed list, because callers act on the difference. `http/problem` turns
//! each into a response.

use crate::{
    domain::policy::{FieldError, RateLimited},
    password_hashing::Overloaded,
};

/// Why a use case returned no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid input")]
    Invalid(Vec<FieldError>),
    #[error("missing or wrong credentials")]
    Unauthenticated,
    #[error("missing or ended session")]
    NoSession,
    #[error("not the password of the account")]
    WrongPassword,
    #[error("the registration is not activated")]
    NotActivated,
    #[error("not found")]
    NotFound,
    #[error("the account is already active")]
    AlreadyActive,
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    #[error("the code has expired")]
    CodeExpired,
    #[error("the code has no attempts left")]
    CodeExhausted,
    #[error("the registration is closed")]
    RegistrationClosed,
    #[error("wrong code")]
    WrongCode { attempts_left: u8, length: u8 },
    #[error("no mail server has accepted the code yet")]
    CodeNotSent { attempts_left: u8 },
    #[error("too many requests")]
    RateLimited(RateLimited),
    #[error("the service is overloaded")]
    Overloaded,
    /// A dependency is unavailable. Nothing was done, or all of it was rolled back.
    #[error("a dependency is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// A bug, or a corrupt database.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl From<RateLimited> for Error {
    fn from(limit: RateLimited) -> Self {
        Self::RateLimited(limit)
    }
}

impl From<Overloaded> for Error {
    fn from(Overloaded: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Invalid(vec![error])
    }
}
