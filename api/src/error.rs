//! Why a request was not granted: a closed list, because callers act on the difference.

use crate::{
    domain::policy::{FieldError, RateLimited},
    password_hashing::Overloaded,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("invalid input")]
    Invalid(Vec<FieldError>),
    #[error("no or wrong credentials")]
    Unauthenticated,
    #[error("no or no living session")]
    NoSession,
    #[error("not the password of the account")]
    WrongPassword,
    #[error("the registration is not activated")]
    NotActivated,
    #[error("no such thing")]
    NotFound,
    #[error("the account is active already")]
    AlreadyActive,
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    #[error("the code has expired")]
    CodeExpired,
    #[error("the code has no tries left")]
    CodeExhausted,
    #[error("the registration is closed")]
    RegistrationClosed,
    #[error("wrong code")]
    WrongCode { attempts_left: u8, length: u8 },
    #[error("no mail server has the code yet")]
    CodeNotSent { attempts_left: u8 },
    #[error("too many requests")]
    RateLimited(RateLimited),
    #[error("no thread is free to hash a password")]
    Overloaded,
    /// A part of the service is away. Nothing was half done.
    #[error("a dependency is away")]
    Unavailable(#[source] anyhow::Error),
    /// A bug of ours, or a broken database.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl From<RateLimited> for Error {
    fn from(too_many: RateLimited) -> Self {
        Self::RateLimited(too_many)
    }
}

impl From<Overloaded> for Error {
    fn from(Overloaded: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl From<FieldError> for Error {
    fn from(fault: FieldError) -> Self {
        Self::Invalid(vec![fault])
    }
}
