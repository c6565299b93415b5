//! What an operator sees of a running process: logs, traces, metrics and health checks.

pub mod health;
pub mod log;
pub mod metrics;
pub mod ops_server;
pub mod traces;

/// The environment variables that logs and traces read, for the test that compares them with `.env.example`.
pub fn variables() -> Vec<String> {
    let of_traces = traces::RawSettings::FIELDS.iter().map(|field| field.to_uppercase());
    of_traces.chain(["RUST_LOG".to_owned()]).collect()
}
