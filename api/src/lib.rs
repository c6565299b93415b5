//! The API: HTTP in front, Postgres behind it, and an outbox to the world.

mod activate;
mod chance;
mod claim;
mod config;
mod domain;
mod hashing;
mod http;
mod mint;
mod publish;
mod receipt;
mod refusal;
mod register;
mod relay;
mod resend;
mod store;

use std::sync::Arc;

use anyhow::{Context, Result};
pub use config::Config;
use domain::{email::EmailAddress, password::Recipe, policy::Policy};
use hashing::HashPool;
use publish::Publisher;
pub use relay::{Deliver, Outlet};
use shared::{code::Ring, ops, postgres, process::Parts};
use store::Store;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;

/// Connections to Postgres: hashing is what takes time, and it holds none.
const CONNECTIONS: usize = 16;

/// What every request shares.
pub(crate) struct App {
    store: Store,
    ring: Ring,
    policy: Policy,
    hashes: HashPool,
    wake: Arc<Notify>,
    outlet: Outlet,
    public_url: String,
}

/// The API with RabbitMQ behind its outbox, until `stop`.
pub async fn run(config: Config, listener: TcpListener, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    let publisher = Publisher::new(config.topology.clone());
    let mut parts = Parts::new(stop.clone());
    parts.start("the publisher", publisher.clone().supervise(config.amqp_url.clone(), stop.clone()));
    let broker = publisher.clone();
    let outlet = Outlet { deliver: publisher.outlet(), is_up: Arc::new(move || broker.is_up()) };
    drop(publisher);
    parts.start("the API", run_with(config, listener, ops, outlet, stop));
    parts.run().await
}

/// The API with anything behind its outbox, until `stop`.
pub async fn run_with(
    config: Config,
    listener: TcpListener,
    ops: TcpListener,
    outlet: Outlet,
    stop: CancellationToken,
) -> Result<()> {
    if config.migrate_on_start {
        tokio::select! {
            migrated = postgres::migrate(&config.database_url) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let app = Arc::new(App {
        store: Store::new(postgres::pool(&config.database_url, CONNECTIONS)?),
        ring: config.ring,
        policy: config.policy,
        hashes: HashPool::start(config.hash_threads, config.hash_queue).context("cannot start the hash threads")?,
        wake: Arc::default(),
        outlet: outlet.clone(),
        public_url: config.public_url,
    });
    let asked = Arc::clone(&app);
    let ready = move || {
        let app = Arc::clone(&asked);
        async move { vec![("postgres", app.store.is_up().await), ("broker", (app.outlet.is_up)())] }
    };
    tracing::info!("ready: {}", app.public_url);
    let mut parts = Parts::new(stop.clone());
    parts.start("the relay", relay::run(app.store.clone(), outlet, Arc::clone(&app.wake), stop.clone()));
    parts.start("the operator's listener", ops::serve(ops, ready, stop.clone()));
    parts.start("the HTTP server", http::serve(app, config.docs, listener, stop));
    parts.run().await
}

impl App {
    /// Under this name an address stands in the budgets, and is locked.
    fn address_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.ring.oldest().pseudonym("address", email.as_str())
    }

    /// The recipe for an address: that of the first of its hashes, so that all have the same one.
    fn recipe<'a>(&self, email: &EmailAddress, mut hashes: impl Iterator<Item = &'a String>) -> Recipe {
        hashes.find_map(|hash| Recipe::of(hash)).unwrap_or_else(|| self.first_recipe(email))
    }

    /// The recipe for an address that has no hash yet. Its salt is as good as random to whoever lacks
    /// the secret, and two first registrations at once get the same.
    fn first_recipe(&self, email: &EmailAddress) -> Recipe {
        let name = self.ring.oldest().pseudonym("salt", email.as_str());
        Recipe::new(std::array::from_fn(|i| name[i]))
    }

    fn wake_relay(&self) {
        self.wake.notify_one();
    }
}

/// Every statement that this crate sends, for the test that prepares them all.
pub fn statements() -> Vec<&'static str> {
    store::statements()
}
