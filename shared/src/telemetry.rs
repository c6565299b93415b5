//! What an operator sees of a running process: its log, its traces, what it counts, and the listener that tells how it is.

pub mod health;
pub mod log;
pub mod metrics;
pub mod ops_server;
pub mod traces;
