//! The worker: takes messages from the queue, and hands mails to a mail server.

mod cli;
mod config;
mod consumer;
mod dead_letters;
mod delivery;
mod health;
mod metrics;
mod smtp;
mod store;

use std::sync::Arc;

pub use crate::delivery::in_process::{InProcessDelivery, RetryLater};
use anyhow::Result;
pub use cli::{Command, Tool, USAGE, answer};
pub use config::Config;
pub use health::WorkerHealth;
use shared::telemetry::{health::HealthReporter, metrics::Registry, ops_server};
use shared::{
    postgres::{self, Pool},
    shutdown::Tasks,
};
#[cfg(any(test, fuzzing))]
pub use smtp::fuzzing;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// While as many as there are connections are being mailed, as many others are read, recorded and acked, so that no
/// connection to the mail server waits for Postgres or the broker. More would only be kept from other workers.
const IN_HAND_PER_CONNECTION: u16 = 2;

/// The worker as a process of its own, consuming from RabbitMQ until `stop`.
pub async fn run(config: Config, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    // Half of the messages in hand are being mailed when there is much to do, and the others are what asks Postgres.
    let database = postgres::pool(&config.database_url, usize::from(config.concurrency) + 1)?;
    if config.migrate_on_start {
        let migrating = postgres::migrate(&database);
        tokio::select! {
            migrated = ops_server::alive_meanwhile(&ops, "worker", migrating) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let metrics = Registry::default();
    let health = Arc::new(WorkerHealth::alone(&metrics));
    let reporter = HealthReporter::new(metrics, vec![health.part(database.clone())]);
    let mut parts = Tasks::new(stop.clone());
    parts.start("the operator's listener", ops_server::serve(ops, reporter, stop.clone()));
    parts.start("the consumer", consume(config, database, health, stop));
    parts.run().await
}

/// Consumes from RabbitMQ until `stop`.
pub async fn consume(config: Config, database: Pool, health: Arc<WorkerHealth>, stop: CancellationToken) -> Result<()> {
    let consumer = consumer::Consumer {
        url: config.amqp_url()?,
        in_hand: config.concurrency * IN_HAND_PER_CONNECTION,
        topology: config.topology.clone(),
        handler: Arc::new(config.handler(database, health)),
    };
    consumer.run(stop).await
}

/// Every statement that this crate sends, for the test that prepares them all.
pub fn statements() -> Vec<&'static str> {
    store::statements()
}
