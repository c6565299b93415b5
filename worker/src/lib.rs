//! The worker: takes messages from the queue, and hands mails to a mail server.

mod config;
mod consume;
mod handle;
mod judge;
mod mail;
mod smtp;
mod store;

use std::sync::{Arc, atomic::AtomicBool};

use anyhow::Result;
pub use config::Config;
use handle::Handler;
use shared::{ops, postgres, process::Parts};
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Consumes from RabbitMQ until `stop`.
pub async fn run(config: Config, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    if config.migrate_on_start {
        tokio::select! {
            migrated = postgres::migrate(&config.database_url) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let store = Store::new(postgres::pool(&config.database_url, usize::from(config.concurrency) + 1)?);
    let (database, broker_is_up) = (store.clone(), Arc::new(AtomicBool::new(false)));
    let broker = Arc::clone(&broker_is_up);
    let ready = move || {
        let (database, broker) = (database.clone(), broker.load(std::sync::atomic::Ordering::Relaxed));
        async move { vec![("postgres", database.is_up().await), ("broker", broker)] }
    };
    let consumer = consume::Consumer {
        url: config.amqp_url,
        topology: config.topology,
        handler: Arc::new(Handler { store, ring: config.ring, sender: config.sender, public_url: config.public_url }),
        server: Arc::new(config.server),
        concurrency: config.concurrency,
        is_up: broker_is_up,
    };
    let mut parts = Parts::new(stop.clone());
    parts.start("the operator's listener", ops::serve(ops, ready, stop.clone()));
    parts.start("the consumer", consumer.run(stop));
    parts.run().await
}

/// Every statement that this crate sends, for the test that prepares them all.
pub fn statements() -> Vec<&'static str> {
    store::ALL.to_vec()
}
