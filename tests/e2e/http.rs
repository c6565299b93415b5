//! The HTTP surface: problems, spec, headers, TLS and pages.

pub(crate) mod https;
pub(crate) mod problems;
pub(crate) mod spec;
pub(crate) mod transport;
pub(crate) mod web_app;
