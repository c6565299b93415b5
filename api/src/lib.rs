//! The API: HTTP in front, Postgres behind it, and an outbox to the world.

mod activate;
mod attempt;
mod chance;
mod claim;
mod config;
mod domain;
mod guesser;
mod hashing;
mod http;
mod mint;
mod names;
mod publish;
mod receipt;
mod reemit;
mod refusal;
mod register;
mod relay;
mod renewal;
mod resend;
mod store;
mod tools;
mod trial;

use std::sync::Arc;

use anyhow::Result;
pub use config::Config;
use domain::{email::EmailAddress, network::TrustedProxies, password::recipe::Recipe, policy::Policy};
use hashing::HashPool;
#[cfg(any(test, fuzzing))]
pub use http::fuzzing;
use publish::Publisher;
use refusal::Refusal;
pub use relay::{Deliver, Outlet, Undelivered};
use shared::{
    code::Ring,
    ops::{self, Check},
    postgres::{self, Pool},
    process::Parts,
};
use store::Store;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;
pub use tools::{Command, Tool, USAGE, answer};

/// Connections to Postgres: hashing is what takes time, and it holds none.
pub const CONNECTIONS: usize = 16;

const CONFIRMS_IN_FLIGHT: usize = 1_000;

/// What every request shares.
pub(crate) struct App {
    store: Store,
    ring: Ring,
    policy: Policy,
    hashes: HashPool,
    wake: Arc<Notify>,
    outlet: Outlet,
    public_url: String,
    trusted_proxies: TrustedProxies,
}

/// What the API stands on. Other parts of the same process may stand on it too.
pub struct Ground {
    pub database: Pool,
    pub outlet: Outlet,
    pub ops: TcpListener,
}

/// The API as a process of its own, with RabbitMQ behind its outbox, until `stop`.
pub async fn run(config: Config, listener: TcpListener, ops: TcpListener, stop: CancellationToken) -> Result<()> {
    let database = postgres::pool(&config.database_url, CONNECTIONS)?;
    if config.migrate_on_start {
        tokio::select! {
            migrated = postgres::migrate(&database) => migrated?,
            () = stop.cancelled() => return Ok(()),
        }
    }
    let mut parts = Parts::new(stop.clone());
    let outlet = broker(&config, &mut parts, stop.clone())?;
    parts.start("the API", run_on(Ground { database, outlet, ops }, config, listener, stop));
    parts.run().await
}

/// RabbitMQ as an outlet, with the part that keeps the connection to it.
pub fn broker(config: &Config, parts: &mut Parts, stop: CancellationToken) -> Result<Outlet> {
    let publisher = Publisher::new(config.topology.clone());
    parts.start("the publisher", publisher.clone().supervise(config.amqp_url()?, stop));
    let broker = publisher.clone();
    Ok(Outlet { deliver: publisher.outlet(), is_up: Arc::new(move || broker.is_up()), in_hand: CONFIRMS_IN_FLIGHT })
}

/// The API on any ground, with any outlet behind its outbox, until `stop`.
pub async fn run_on(ground: Ground, config: Config, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    let Ground { database, outlet, ops } = ground;
    let app = Arc::new(App {
        store: Store::new(database),
        ring: config.ring,
        policy: config.policy,
        hashes: HashPool::start(config.hashing)?,
        wake: Arc::default(),
        outlet: outlet.clone(),
        public_url: config.public_url,
        trusted_proxies: config.trusted_proxies,
    });
    app.check_names().await?;
    let asked = Arc::clone(&app);
    let ready = move || {
        let app = Arc::clone(&asked);
        async move {
            let postgres = Check { name: "postgres", ok: app.store.is_up().await, needed: true };
            // What is told to the world waits in the outbox meanwhile: nobody is to be sent away for it.
            vec![postgres, Check { name: "broker", ok: (app.outlet.is_up)(), needed: false }]
        }
    };
    tracing::info!("ready: {}", app.public_url);
    let mut parts = Parts::new(stop.clone());
    parts.start("the relay", relay::run(app.store.clone(), outlet, Arc::clone(&app.wake), stop.clone()));
    parts.start("the operator's listener", ops::serve(ops, ready, stop.clone()));
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
