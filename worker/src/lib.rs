//! The mail worker: consumes messages from RabbitMQ, sends the mails over SMTP and records each outcome in Postgres.

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

/// Prefetched messages per SMTP connection. While one message per connection is being sent, as many others are read,
/// recorded and acked, so that no SMTP connection waits for Postgres or the broker. A larger prefetch would only
/// withhold messages from other workers.
const PREFETCH_PER_CONNECTION: u16 = 2;

/// Runs the worker in its own process: consumer and ops server, until `stop` is cancelled.
pub async fn run(config: Config, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    // Under load, half of the messages in flight are being sent; only the other half use a database connection.
    let database = postgres::pool(&config.database_url, usize::from(config.concurrency) + 1)?;
    if config.migrate_on_start {
        let migrating = postgres::migrate(&database);
        tokio::select! {
            migrated = ops_server::alive_meanwhile(&ops, "worker", migrating) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let metrics = Registry::default();
    let health = Arc::new(WorkerHealth::for_own_process(&metrics));
    let reporter = HealthReporter::new(metrics, vec![health.part(database.clone())]);
    let mut tasks = Tasks::new(stop.clone());
    tasks.start("the ops server", ops_server::serve(ops, reporter, stop.clone()));
    tasks.start("the consumer", consume(config, database, health, stop));
    tasks.run().await
}

/// Consumes messages from RabbitMQ until `stop` is cancelled, then drains the messages in flight.
pub async fn consume(config: Config, database: Pool, health: Arc<WorkerHealth>, stop: CancellationToken) -> Result<()> {
    let consumer = consumer::Consumer {
        url: config.amqp_url()?,
        prefetch: config.concurrency * PREFETCH_PER_CONNECTION,
        topology: config.topology.clone(),
        handler: Arc::new(config.handler(database, health)),
    };
    consumer.run(stop).await
}

/// Returns every SQL statement of this crate, for the test that prepares them all.
pub fn statements() -> Vec<&'static str> {
    store::statements()
}
