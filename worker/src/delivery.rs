//! Delivery: decides whether a mail is still worth sending, builds it, sends it and records the outcome.

pub(crate) mod email;
pub(crate) mod handler;
pub(crate) mod in_process;
pub(crate) mod message_builder;
pub(crate) mod pending_records;
