//! Dead emails: parked messages and undeliverable mails, for the operator.

pub(crate) mod parked;
pub(crate) mod undeliverable;
