//! Business rules, pure: no I/O; time and randomness are arguments.

pub(crate) mod client;
pub(crate) mod cloud_event;
pub(crate) mod code;
pub(crate) mod confirm_window;
pub(crate) mod email;
pub(crate) mod mail_suppression;
pub(crate) mod network;
pub(crate) mod outbox_capacity;
pub(crate) mod outbox_message;
pub(crate) mod password;
pub(crate) mod policy;
pub(crate) mod rate_limit;
pub(crate) mod receipt;
pub(crate) mod retention;
pub(crate) mod session;
pub(crate) mod subject_keys;
