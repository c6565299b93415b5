//! HTTP: problem documents, OpenAPI document, security headers, CORS, TLS and pages.

pub(crate) mod https;
pub(crate) mod problems;
pub(crate) mod spec;
pub(crate) mod transport;
pub(crate) mod web_app;
