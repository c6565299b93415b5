//! What an operator sees of a running process: logs, traces, metrics and health checks.

pub mod health;
pub mod log;
pub mod metrics;
pub mod ops_server;
pub mod traces;
