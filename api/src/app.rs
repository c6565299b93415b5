//! The state that every request shares.

use std::sync::Arc;

use anyhow::Result;
use shared::codes::CodeSecrets;
use tokio::sync::Notify;

use crate::{
    auth::rejection_cache::RejectionCache,
    domain::{email::EmailAddress, network::TrustedProxies, password::recipe::Recipe, policy::Policy},
    error::Error,
    metrics::Metrics,
    outbox::delivery::OutboxDelivery,
    password_hashing::HashPool,
    registration::receipt_watch::Subscribers,
    store::{Store, key_fingerprint},
};

/// What every request shares.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) ring: CodeSecrets,
    pub(crate) policy: Policy,
    pub(crate) hashes: HashPool,
    pub(crate) rejections: RejectionCache,
    pub(crate) wake: Arc<Notify>,
    pub(crate) delivery: OutboxDelivery,
    pub(crate) public_url: String,
    /// Whether other services are told addresses.
    pub(crate) events_with_email: bool,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) metrics: Metrics,
    pub(crate) subscribers: Arc<Subscribers>,
}

impl App {
    /// SubjectKeys are for ever: with another key every limit would begin anew, and nobody would notice.
    pub(crate) async fn check_names(&self) -> Result<()> {
        let connection = self.store.connection().await?;
        let sample = self.ring.oldest().pseudonym("sample", "");
        let same = key_fingerprint::are_made_like(&connection, &sample).await.map_err(Error::from)?;
        anyhow::ensure!(
            same,
            "CODE_SECRETS: its last key is not the one that this database was begun with, and that keys addresses \
             in every limit: put it back as the last one"
        );
        Ok(())
    }

    /// The recipe for an address: that of the first of its hashes, so that all have the same one.
    pub(crate) fn recipe<'a>(&self, email: &EmailAddress, mut hashes: impl Iterator<Item = &'a String>) -> Recipe {
        hashes.find_map(|hash| Recipe::of(hash)).unwrap_or_else(|| self.first_recipe(email))
    }

    /// The recipe for an address that has no hash yet. Its salt is as good as random to whoever lacks
    /// the secret, and two first registrations at once get the same.
    pub(crate) fn first_recipe(&self, email: &EmailAddress) -> Recipe {
        let name = self.ring.oldest().pseudonym("salt", email.as_str());
        Recipe { costs: self.hashes.costs(), salt: std::array::from_fn(|i| name[i]) }
    }

    pub(crate) fn wake_relay(&self) {
        self.wake.notify_one();
    }
}
