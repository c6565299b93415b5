//! The HTTP API: registration and accounts, with all state in Postgres and an outbox that is delivered to RabbitMQ.

mod account;
mod app;
mod auth;
mod cleanup;
mod cli;
mod config;
mod domain;
mod error;
mod http;
mod metrics;
mod outbox;
mod password_hashing;
mod registration;
mod rng;
mod server;
mod store;

pub use cli::{Command, Tool, USAGE, answer};
pub use config::{Config, MigrationConfig};
pub use domain::outbox_capacity::MaxInFlight;
pub use domain::outbox_message::OutboxMessage;
#[cfg(any(test, fuzzing))]
pub use http::fuzzing;
pub use outbox::delivery::{Deliver, DeliveryError, LookAtQueue, OutboxDelivery};
pub use server::{CONNECTIONS, Services, broker, run, run_on};

/// All SQL statements of this crate, for the test that prepares each of them.
pub fn statements() -> Vec<&'static str> {
    store::statements()
}
