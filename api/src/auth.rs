//! Authentication and its rate limits: credentials, password attempts and code attempts.

pub(crate) mod code_attempt;
pub(crate) mod credentials;
pub(crate) mod network_guesses;
pub(crate) mod password_attempt;
pub(crate) mod rehash;
pub(crate) mod rejection_cache;
pub(crate) mod subject_keys;
