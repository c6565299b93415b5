//! Authentication and its rate limits: passwords, codes, and the keys that limits are stored under.

pub(crate) mod aborted_attempts;
pub(crate) mod activation_counts;
pub(crate) mod attempt_origin;
pub(crate) mod attempt_refusals;
pub(crate) mod audit;
pub(crate) mod breached_passwords;
pub(crate) mod code_attempt;
pub(crate) mod code_status;
pub(crate) mod counted_guess;
pub(crate) mod credentials;
pub(crate) mod instance_guesses;
pub(crate) mod network_guesses;
pub(crate) mod password_attempt;
pub(crate) mod password_checks;
pub(crate) mod rehash;
pub(crate) mod rejection_cache;
pub(crate) mod unlock;
