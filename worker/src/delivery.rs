//! Delivery: from a message to a mail and its recorded outcome.

pub(crate) mod decision;
pub(crate) mod email;
pub(crate) mod handler;
pub(crate) mod in_process;
pub(crate) mod message_builder;
pub(crate) mod outcome;
pub(crate) mod pending_records;
