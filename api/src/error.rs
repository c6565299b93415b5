//! Why a request was not granted: a closed list, because callers act on the difference.

use crate::{
    domain::policy::{Fault, TooMany},
    password_hashing::Overloaded,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("invalid input")]
    Invalid(Vec<Fault>),
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
    TooMany(TooMany),
    #[error("no thread is free to hash a password")]
    Overloaded,
    /// A part of the service is away. Nothing was half done.
    #[error("a dependency is away")]
    Unavailable(#[source] anyhow::Error),
    /// A bug of ours, or a broken database.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

impl From<TooMany> for Refusal {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

impl From<Overloaded> for Refusal {
    fn from(Overloaded: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }
}
