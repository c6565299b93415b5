//! The mail worker: consumes messages from RabbitMQ, sends the mails over SMTP and records each outcome in Postgres.

mod cli;
mod config;
mod consumer;
mod dead_letters;
mod delivery;
mod domain;
mod health;
mod message_headers;
mod metrics;
mod server;
mod smtp;
mod store;

pub use cli::{Command, Tool, USAGE, answer};
pub use config::Config;
pub use delivery::in_process::{InProcessDelivery, RetryLater};
pub use health::WorkerHealth;
pub use server::{consume, in_process_delivery, run};
#[cfg(any(test, fuzzing))]
pub use smtp::fuzzing;

/// Returns every SQL statement of this crate, for the test that prepares them all.
pub fn statements() -> Vec<&'static str> {
    store::statements()
}
