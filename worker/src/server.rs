//! Wiring: builds the handler from the settings and starts the tasks of the process.

use std::sync::Arc;

use anyhow::Result;
use shared::{
    postgres::{self, Pool},
    shutdown::{CLOSE_TIME, Tasks},
    telemetry::{health::HealthReporter, metrics::Registry, ops_server},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    consumer::{Consumer, Prefetch},
    delivery::{
        handler::Handler, in_process::InProcessDelivery, message_builder::MessageBuilder,
        pending_records::PendingRecords,
    },
    health::WorkerHealth,
    smtp::pool::SmtpPool,
    store::Store,
};

/// Prefetched messages per SMTP connection. While one message per connection is being sent, as many others are read,
/// recorded and acked, so that no SMTP connection waits for Postgres or the broker. A larger prefetch would only
/// withhold messages from other workers.
const PREFETCH_PER_CONNECTION: u16 = 2;

/// Of this many SMTP connections, notices use at most one at a time: however many wait, codes have the others.
const CONNECTIONS_PER_NOTICE: u16 = 4;

/// Runs the worker in its own process: consumer and ops server, until `stop` is cancelled.
pub async fn run(config: Config, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    // Under load, half of the messages in flight are being sent; only the other half use a database connection.
    let database = postgres::pool(&config.database_url, usize::from(config.concurrency) + 1)?;
    if config.migrate_on_start {
        let migrating = postgres::migrate_as_owner(&config.migrate_database_url, &config.database_url);
        tokio::select! {
            migrated = ops_server::serve_while_migrating(&ops, "worker", migrating) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let metrics = Registry::default();
    let health = Arc::new(WorkerHealth::for_own_process(&metrics));
    let reporter = HealthReporter::new(metrics, vec![health.component(database.clone())]);
    let mut tasks = Tasks::new(stop.clone(), config.drain);
    let check = database.clone();
    let consumer_stop = stop.clone();
    tasks.start("the consumer", async move {
        tokio::join!(postgres::warn_without_timeouts(&check), consume(config, database, health, consumer_stop)).1
    });
    // No task among the others: it also serves while they drain.
    tokio::select! {
        ended = tasks.run() => ended,
        never = ops_server::serve(ops, reporter, stop) => match never {},
    }
}

/// Consumes messages from RabbitMQ until `stop` is cancelled, then finishes the mails in progress and requeues all others.
pub async fn consume(config: Config, database: Pool, health: Arc<WorkerHealth>, stop: CancellationToken) -> Result<()> {
    let consumer = Consumer {
        url: config.amqp_url()?,
        prefetch: Prefetch {
            codes: config.concurrency * PREFETCH_PER_CONNECTION,
            notices: (config.concurrency / CONNECTIONS_PER_NOTICE).max(1),
        },
        topology: config.topology.clone(),
        drain_timeout: config.drain.saturating_sub(CLOSE_TIME),
        handler: Arc::new(Handler { has_broker: true, ..handler(config, database, health) }),
    };
    consumer.run(stop).await
}

/// A worker without a broker, which sends over at most `WORKER_CONCURRENCY` SMTP connections.
pub fn in_process_delivery(config: Config, database: Pool, health: Arc<WorkerHealth>) -> InProcessDelivery {
    InProcessDelivery::new(handler(config, database, health))
}

fn handler(config: Config, database: Pool, health: Arc<WorkerHealth>) -> Handler {
    let message_builder =
        MessageBuilder { code_secrets: config.code_secrets, sender: config.sender, public_url: config.public_url };
    Handler {
        store: Store::new(database),
        has_broker: false,
        message_builder,
        smtp_pool: SmtpPool::new(config.smtp, config.concurrency, Arc::clone(&health.smtp)),
        pending_records: PendingRecords::default(),
        health,
    }
}
