//! Wiring of the API: builds the shared state and starts all tasks of the process.

pub(crate) mod health;

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use shared::messages::MailKind;
use shared::telemetry::{
    health::{Component, HealthReporter},
    metrics::{Registry, names},
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
    auth::{
        aborted_attempts,
        activation_counts::{self, ActivationCounts},
        attempt_refusals::AttemptQueues,
        breached_passwords::BreachedPasswords,
        instance_guesses::InstanceGuesses,
        password_checks::PasswordChecks,
        rejection_cache::RejectionCache,
    },
    cleanup::{self, Cleanup},
    config::Config,
    http,
    metrics::Metrics,
    outbox::{
        delivery::OutboxDelivery,
        events::EventWriter,
        rabbitmq::Publisher,
        read_positions::ReadPositions,
        relay,
        rescuer::{self, Rescuer},
    },
    password_hashing::{HashMetrics, HashPool},
    registration::{receipt_watch, subscribers::Subscribers},
    store::Store,
};

/// The size of the Postgres connection pool. Few are enough: a request holds no connection while its password is
/// hashed, which is what takes time.
pub const CONNECTIONS: usize = 16;

/// The services that the API runs on. Other components of the same process may share them.
pub struct Services {
    pub database: Pool,
    /// For health checks: a connection of their own, so that a pool that is exhausted does not make the process unready.
    pub health_database: Pool,
    /// Whether Postgres vacuums its tables itself.
    pub has_autovacuum: bool,
    pub delivery: OutboxDelivery,
    /// The listener of the ops server (health and metrics).
    pub ops: TcpListener,
    pub metrics: Registry,
    /// Other components of the process that the ops server reports on.
    pub others: Vec<Component>,
}

/// Runs the API as a process of its own, with its outbox delivered to RabbitMQ, until `stop` is cancelled.
pub async fn run(config: Config, listener: TcpListener, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    let database = postgres::pool(&config.database_url, CONNECTIONS)?;
    if config.migrate_on_start {
        let migrating = postgres::migrate_as_owner(&config.migrate_database_url, &config.database_url);
        tokio::select! {
            migrated = ops_server::serve_while_migrating(&ops, "api", migrating) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let mut tasks = Tasks::new(stop.clone(), config.drain);
    let metrics = Registry::default();
    let delivery = broker(&config, &metrics, &mut tasks, stop.clone())?;
    let health_database = postgres::pool(&config.database_url, 1)?;
    let services = Services { database, health_database, has_autovacuum: true, delivery, ops, metrics, others: vec![] };
    tasks.start("the API", run_on(services, config, listener, stop));
    tasks.run().await
}

/// Creates an outbox delivery to RabbitMQ, and starts the task that keeps its connection.
pub fn broker(
    config: &Config,
    metrics: &Registry,
    tasks: &mut Tasks,
    stop: CancellationToken,
) -> Result<OutboxDelivery> {
    let publisher = Publisher::new(config.topology.clone(), metrics);
    tasks.start("the publisher", publisher.clone().supervise(config.amqp_url()?, stop));
    Ok(publisher.delivery())
}

/// Runs the API on the given services until `stop` is cancelled.
pub async fn run_on(services: Services, config: Config, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let Services { database, health_database, has_autovacuum, delivery, ops, metrics: registry, others } = services;
    let metrics = Metrics::new(&registry);
    let cleanup = Cleanup {
        interval: config.cleanup_interval,
        vacuums: !has_autovacuum,
        retention: config.retention,
        policy: config.policy.clone(),
        metrics: metrics.clone(),
    };
    // Part of the connections only, so that other requests are still served.
    let max_subscriptions = config.transport.max_connections / 4;
    let (attempt_queues, aborted) = AttemptQueues::new();
    postgres::warn_without_timeouts(&health_database).await;
    let app = Arc::new(App {
        store: Store::new(database),
        health_database,
        code_secrets: config.code_secrets,
        subject_key: config.subject_key,
        password_checks: PasswordChecks::new(config.policy.password_checks_per_network),
        attempt_queues,
        policy: config.policy,
        hash_pool: HashPool::start(config.hashing, HashMetrics::new(&registry))?,
        breached_passwords: BreachedPasswords::new(config.breached_passwords),
        rejection_cache: RejectionCache::new(),
        instance_guesses: InstanceGuesses::default(),
        activation_counts: ActivationCounts::default(),
        relay_wakeup: Arc::default(),
        outbox_positions: Arc::new(ReadPositions::new()),
        delivery: delivery.clone(),
        events: EventWriter { source: config.public_url.clone(), with_email: config.events_with_email },
        public_url: config.public_url,
        trusted_proxies: config.trusted_proxies,
        untrusted_proxy: OnceLock::new(),
        metrics: metrics.clone(),
        subscribers: Arc::new(Subscribers::new(max_subscriptions, metrics.streams.clone())),
    });
    app.check_key_fingerprint().await?;
    let components = std::iter::once(health::component(&app, &registry)).chain(others).collect();
    let reporter = HealthReporter::new(registry.clone(), components);
    tracing::info!(url = %app.public_url, "ready");
    let mut tasks = Tasks::new(stop.clone(), config.drain);
    if let Some(look_at_queue) = delivery.look_at_queue.clone() {
        let rescuer = Rescuer {
            store: app.store.clone(),
            is_connected: Arc::clone(&delivery.is_up),
            look_at_queue,
            rescue_after: config.rescue_after,
            relay_wakeup: Arc::clone(&app.relay_wakeup),
            rescued: registry.family(names::RESCUED).with(MailKind::ALL.iter().map(|kind| [kind.name()])),
            postgres_errors: metrics.postgres_errors.clone(),
        };
        tasks.start("the rescuer", rescuer::run(rescuer, stop.clone()));
    }
    tasks.start(
        "the relay",
        relay::run(
            app.store.clone(),
            delivery,
            Arc::clone(&app.relay_wakeup),
            Arc::clone(&app.outbox_positions),
            metrics,
            stop.clone(),
        ),
    );
    tasks.start("the cleanup", cleanup::run(app.store.clone(), cleanup, stop.clone()));
    tasks.start("the count of aborted attempts", aborted_attempts::run(Arc::clone(&app), aborted, stop.clone()));
    tasks.start("the count of activations", activation_counts::run(Arc::clone(&app), stop.clone()));
    tasks.start("the receipt watch", receipt_watch::run(Arc::clone(&app), stop.clone()));
    let http_server = http::serve(Arc::clone(&app), config.transport, config.drain, listener, stop.clone());
    tasks.start("the HTTP server", http_server);
    // No task among the others: it also serves while they drain.
    let ended = tokio::select! {
        ended = tasks.run() => ended,
        never = ops_server::serve(ops, reporter, stop) => match never {},
    };
    // Those of the last requests. Without a database they are lost, which only keeps limits lower.
    let _ = activation_counts::flush(&app).await;
    ended
}
