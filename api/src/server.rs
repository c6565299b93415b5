//! Wiring: builds the state and starts the parts of the process.

use std::sync::Arc;

use anyhow::Result;
use shared::telemetry::{
    health::{Desk, Part},
    metrics::Registry,
    ops_server,
};
use shared::{
    postgres::{self, Pool},
    shutdown::Parts,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    auth::rejection_cache::Spent,
    cleanup::{self, Housekeeping},
    config::Config,
    health, http,
    metrics::Metrics,
    outbox::{delivery::Outlet, rabbitmq::Publisher, relay},
    password_hashing::{Counts, HashPool},
    registration::receipt_watch::{self, Watch},
    store::Store,
};

/// Connections to Postgres: hashing is what takes time, and it holds none.
pub const CONNECTIONS: usize = 16;

const CONFIRMS_IN_FLIGHT: usize = 1_000;

/// What the API stands on. Other parts of the same process may stand on it too.
pub struct Ground {
    pub database: Pool,
    pub outlet: Outlet,
    pub ops: TcpListener,
    pub metrics: Registry,
    /// Those other parts, for who asks on `ops`.
    pub others: Vec<Part>,
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
    let (mut parts, metrics) = (Parts::new(stop.clone()), Registry::default());
    let outlet = broker(&config, &metrics, &mut parts, stop.clone())?;
    let ground = Ground { database, outlet, ops, metrics, others: vec![] };
    parts.start("the API", run_on(ground, config, listener, stop));
    parts.run().await
}

/// RabbitMQ as an outlet, with the part that keeps the connection to it.
pub fn broker(config: &Config, metrics: &Registry, parts: &mut Parts, stop: CancellationToken) -> Result<Outlet> {
    let publisher = Publisher::new(config.topology.clone(), metrics);
    parts.start("the publisher", publisher.clone().supervise(config.amqp_url()?, stop));
    let broker = publisher.clone();
    Ok(Outlet { deliver: publisher.outlet(), is_up: Arc::new(move || broker.is_up()), in_hand: CONFIRMS_IN_FLIGHT })
}

/// The API on any ground, with any outlet behind its outbox, until `stop`.
pub async fn run_on(ground: Ground, config: Config, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let Ground { database, outlet, ops, metrics: registry, others } = ground;
    let metrics = Metrics::new(&registry);
    let Config { cleaning_every: every, retention, .. } = config;
    let housekeeping = Housekeeping { every, retention, policy: config.policy.clone(), metrics: metrics.clone() };
    let app = Arc::new(App {
        store: Store::new(database),
        ring: config.ring,
        policy: config.policy,
        hashes: HashPool::start(config.hashing, Counts::new(&registry))?,
        spent: Spent::new(),
        wake: Arc::default(),
        outlet: outlet.clone(),
        public_url: config.public_url,
        events_with_email: config.events_with_email,
        trusted_proxies: config.trusted_proxies,
        metrics: metrics.clone(),
        // Others need connections, too.
        watch: Arc::new(Watch::new(config.transport.max_connections / 4, Arc::clone(&metrics.streams))),
    });
    app.check_names().await?;
    let desk = Desk::new(registry.clone(), std::iter::once(health::part(&app, &registry)).chain(others).collect());
    tracing::info!("ready: {}", app.public_url);
    let mut parts = Parts::new(stop.clone());
    parts.start("the relay", relay::run(app.store.clone(), outlet, (Arc::clone(&app.wake), metrics), stop.clone()));
    parts.start("housekeeping", cleanup::run(app.store.clone(), housekeeping, stop.clone()));
    parts.start("the watch", receipt_watch::run(Arc::clone(&app), stop.clone()));
    parts.start("the operator's listener", ops_server::serve(ops, desk, stop.clone()));
    parts.start("the HTTP server", http::serve(app, config.transport, listener, stop));
    parts.run().await
}
