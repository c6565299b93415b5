//! The worker: takes messages from the queue, and hands mails to a mail server.

mod compose;
mod config;
mod consume;
mod courier;
mod debts;
mod handle;
mod headers;
mod judge;
mod mail;
mod parked;
mod smtp;
mod store;
mod tools;
mod undeliverable;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Result;
pub use config::Config;
pub use courier::{Courier, Later};
use shared::{
    ops::{self, Check},
    postgres::{self, Pool},
    process::Parts,
};
#[cfg(any(test, fuzzing))]
pub use smtp::fuzzing;
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
pub use tools::{Command, Tool, USAGE, answer};

/// While as many as there are connections are being mailed, as many others are read, recorded and acked, so that no
/// connection to the mail server waits for Postgres or the broker. More would only be kept from other workers.
const IN_HAND_PER_CONNECTION: u16 = 2;

/// The worker as a process of its own, consuming from RabbitMQ until `stop`.
pub async fn run(config: Config, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    // Half of the messages in hand are being mailed when there is much to do, and the others are what asks Postgres.
    let database = postgres::pool(&config.database_url, usize::from(config.concurrency) + 1)?;
    if config.migrate_on_start {
        tokio::select! {
            migrated = postgres::migrate(&database) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let (store, broker_is_up) = (Store::new(database.clone()), Arc::new(AtomicBool::new(false)));
    let broker = Arc::clone(&broker_is_up);
    let ready = move || {
        let (store, broker) = (store.clone(), broker.load(Ordering::Relaxed));
        async move {
            let postgres = Check { name: "postgres", ok: store.is_up().await, needed: true };
            vec![postgres, Check { name: "broker", ok: broker, needed: true }]
        }
    };
    let mut parts = Parts::new(stop.clone());
    parts.start("the operator's listener", ops::serve(ops, ready, stop.clone()));
    parts.start("the consumer", consume(config, database, broker_is_up, stop));
    parts.run().await
}

/// Consumes from RabbitMQ until `stop`, and tells through `is_up` whether it can.
pub async fn consume(config: Config, database: Pool, is_up: Arc<AtomicBool>, stop: CancellationToken) -> Result<()> {
    let consumer = consume::Consumer {
        url: config.amqp_url()?,
        in_hand: config.concurrency * IN_HAND_PER_CONNECTION,
        is_up,
        topology: config.topology.clone(),
        handler: Arc::new(config.handler(database)),
    };
    consumer.run(stop).await
}

/// Every statement that this crate sends, for the test that prepares them all.
pub fn statements() -> Vec<&'static str> {
    store::statements()
}
