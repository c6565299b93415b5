//! The API: HTTP in front, Postgres behind it, and an outbox to the world.

mod activate;
mod attempt;
mod chance;
mod change;
mod claim;
mod config;
mod deny;
mod domain;
mod erase;
mod events;
mod forgot;
mod guesser;
mod hashing;
mod housekeeping;
mod http;
mod login;
mod metrics;
mod mint;
mod names;
mod new_password;
mod publish;
mod receipt;
mod reemit;
mod refusal;
mod register;
mod relay;
mod renewal;
mod report;
mod resend;
mod reset;
mod reset_attempt;
mod session;
mod spent;
mod store;
mod tools;
mod trial;
mod watch;

use std::sync::Arc;

use anyhow::Result;
pub use config::Config;
use domain::{email::EmailAddress, network::TrustedProxies, password::recipe::Recipe, policy::Policy};
use hashing::{Counts, HashPool};
use housekeeping::Housekeeping;
#[cfg(any(test, fuzzing))]
pub use http::fuzzing;
use lookout::{
    desk::{Desk, Part},
    metrics::Registry,
    ops,
};
use metrics::Metrics;
use publish::Publisher;
use refusal::Refusal;
pub use relay::outlet::{Deliver, Outgoing, Outlet, Undelivered};
use shared::{
    code::Ring,
    postgres::{self, Pool},
    process::Parts,
};
use spent::Spent;
use store::Store;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;
pub use tools::{Command, Tool, USAGE, answer};
use watch::Watch;

/// Connections to Postgres: hashing is what takes time, and it holds none.
pub const CONNECTIONS: usize = 16;

const CONFIRMS_IN_FLIGHT: usize = 1_000;

/// What every request shares.
pub(crate) struct App {
    store: Store,
    ring: Ring,
    policy: Policy,
    hashes: HashPool,
    spent: Spent,
    wake: Arc<Notify>,
    outlet: Outlet,
    public_url: String,
    /// Whether other services are told addresses.
    events_with_email: bool,
    trusted_proxies: TrustedProxies,
    metrics: Metrics,
    watch: Arc<Watch>,
}

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
            migrated = ops::alive_meanwhile(&ops, "api", migrating) => migrated?,
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
    let desk = Desk::new(registry.clone(), std::iter::once(report::part(&app, &registry)).chain(others).collect());
    tracing::info!("ready: {}", app.public_url);
    let mut parts = Parts::new(stop.clone());
    parts.start("the relay", relay::run(app.store.clone(), outlet, (Arc::clone(&app.wake), metrics), stop.clone()));
    parts.start("housekeeping", housekeeping::run(app.store.clone(), housekeeping, stop.clone()));
    parts.start("the watch", watch::run(Arc::clone(&app), stop.clone()));
    parts.start("the operator's listener", ops::serve(ops, desk, stop.clone()));
    parts.start("the HTTP server", http::serve(app, config.transport, listener, stop));
    parts.run().await
}

impl App {
    /// Names are for ever: with another key every limit would begin anew, and nobody would notice.
    async fn check_names(&self) -> Result<()> {
        let connection = self.store.connection().await?;
        let sample = self.ring.oldest().pseudonym("sample", "");
        let same = store::names::are_made_like(&connection, &sample).await.map_err(Refusal::from)?;
        anyhow::ensure!(
            same,
            "CODE_SECRETS: its last key is not the one that this database was begun with, and that names addresses \
             in every limit: put it back as the last one"
        );
        Ok(())
    }

    /// The recipe for an address: that of the first of its hashes, so that all have the same one.
    fn recipe<'a>(&self, email: &EmailAddress, mut hashes: impl Iterator<Item = &'a String>) -> Recipe {
        hashes.find_map(|hash| Recipe::of(hash)).unwrap_or_else(|| self.first_recipe(email))
    }

    /// The recipe for an address that has no hash yet. Its salt is as good as random to whoever lacks
    /// the secret, and two first registrations at once get the same.
    fn first_recipe(&self, email: &EmailAddress) -> Recipe {
        let name = self.ring.oldest().pseudonym("salt", email.as_str());
        Recipe { costs: self.hashes.costs(), salt: std::array::from_fn(|i| name[i]) }
    }

    fn wake_relay(&self) {
        self.wake.notify_one();
    }
}

/// Every statement that this crate sends, for the test that prepares them all.
pub fn statements() -> Vec<&'static str> {
    store::statements()
}
