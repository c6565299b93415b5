//! Mail delivery: the worker and the mail server.

pub(crate) mod crash_recovery;
pub(crate) mod drain;
pub(crate) mod mail_server_errors;
pub(crate) mod notices;
pub(crate) mod smtp_pool;
pub(crate) mod undeliverable;
