//! What every request passes before and after its route.

pub(crate) mod access_log;
pub(crate) mod cors;
pub(crate) mod request;
pub(crate) mod security_headers;
