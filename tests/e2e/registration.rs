//! Registration, from the first request to the activated account.

pub(crate) mod breached_passwords;
pub(crate) mod codes;
pub(crate) mod enumeration;
pub(crate) mod hash_costs;
pub(crate) mod journey;
pub(crate) mod languages;
pub(crate) mod mail_suppression;
pub(crate) mod not_me;
pub(crate) mod receipt_events;
pub(crate) mod register;
pub(crate) mod response_times;
