//! Wiring: builds the state and starts the parts of the process.

use std::sync::Arc;

use anyhow::Result;
use shared::telemetry::{
    health::{Component, HealthReporter},
    metrics::Registry,
    ops_server,
};
use shared::{
    postgres::{self, Pool},
    shutdown::Tasks,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    auth::rejection_cache::RejectionCache,
    cleanup::{self, Cleanup},
    config::Config,
    health, http,
    metrics::Metrics,
    outbox::{delivery::OutboxDelivery, rabbitmq::Publisher, relay},
    password_hashing::{HashMetrics, HashPool},
    registration::receipt_watch::{self, Subscribers},
    store::Store,
};

/// Connections to Postgres: hashing is what takes time, and it holds none.
pub const CONNECTIONS: usize = 16;

const CONFIRMS_IN_FLIGHT: usize = 1_000;

/// What the API stands on. Other parts of the same process may stand on it too.
pub struct Services {
    pub database: Pool,
    pub delivery: OutboxDelivery,
    pub ops: TcpListener,
    pub metrics: Registry,
    /// Those other parts, for who asks on `ops`.
    pub others: Vec<Component>,
}

/// The API as a process of its own, with RabbitMQ behind its outbox, until `stop`.
pub async fn run(config: Config, listener: TcpListener, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    let database = postgres::pool(&config.database_url, CONNECTIONS)?;
    if config.migrate_on_start {
        let migrating = postgres::migrate(&database);
        tokio::select! {
            migrated = ops_server::alive_meanwhile(&ops, "api", migrating) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let (mut parts, metrics) = (Tasks::new(stop.clone()), Registry::default());
    let delivery = broker(&config, &metrics, &mut parts, stop.clone())?;
    let services = Services { database, delivery, ops, metrics, others: vec![] };
    parts.start("the API", run_on(services, config, listener, stop));
    parts.run().await
}

/// RabbitMQ as an delivery, with the part that keeps the connection to it.
pub fn broker(
    config: &Config,
    metrics: &Registry,
    parts: &mut Tasks,
    stop: CancellationToken,
) -> Result<OutboxDelivery> {
    let publisher = Publisher::new(config.topology.clone(), metrics);
    parts.start("the publisher", publisher.clone().supervise(config.amqp_url()?, stop));
    let broker = publisher.clone();
    Ok(OutboxDelivery {
        deliver: publisher.delivery(),
        is_up: Arc::new(move || broker.is_up()),
        in_hand: CONFIRMS_IN_FLIGHT,
    })
}

/// The API on any services, with any delivery behind its outbox, until `stop`.
pub async fn run_on(services: Services, config: Config, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let Services { database, delivery, ops, metrics: registry, others } = services;
    let metrics = Metrics::new(&registry);
    let Config { cleaning_every: every, retention, .. } = config;
    let housekeeping = Cleanup { every, retention, policy: config.policy.clone(), metrics: metrics.clone() };
    let app = Arc::new(App {
        store: Store::new(database),
        ring: config.ring,
        policy: config.policy,
        hashes: HashPool::start(config.hashing, HashMetrics::new(&registry))?,
        rejections: RejectionCache::new(),
        wake: Arc::default(),
        delivery: delivery.clone(),
        public_url: config.public_url,
        events_with_email: config.events_with_email,
        trusted_proxies: config.trusted_proxies,
        metrics: metrics.clone(),
        // Others need connections, too.
        subscribers: Arc::new(Subscribers::new(config.transport.max_connections / 4, Arc::clone(&metrics.streams))),
    });
    app.check_names().await?;
    let reporter =
        HealthReporter::new(registry.clone(), std::iter::once(health::part(&app, &registry)).chain(others).collect());
    tracing::info!("ready: {}", app.public_url);
    let mut parts = Tasks::new(stop.clone());
    parts.start("the relay", relay::run(app.store.clone(), delivery, Arc::clone(&app.wake), metrics, stop.clone()));
    parts.start("housekeeping", cleanup::run(app.store.clone(), housekeeping, stop.clone()));
    parts.start("the subscribers", receipt_watch::run(Arc::clone(&app), stop.clone()));
    parts.start("the operator's listener", ops_server::serve(ops, reporter, stop.clone()));
    parts.start("the HTTP server", http::serve(app, config.transport, listener, stop));
    parts.run().await
}
