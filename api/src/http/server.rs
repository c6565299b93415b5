//! The HTTP server: accepts connections and serves requests on them, within limits.

pub(crate) mod accept_loop;
pub(crate) mod connection;
pub(crate) mod connection_limit;
pub(crate) mod progress;
pub(crate) mod tls;
