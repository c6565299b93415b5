//! Middleware that every request passes.

pub(crate) mod access_log;
pub(crate) mod cors;
pub(crate) mod request;
pub(crate) mod security_headers;
