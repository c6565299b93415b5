//! The state that all requests share.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use anyhow::Result;
use shared::{codes::CodeSecrets, postgres::Pool};
use tokio::sync::Notify;

use crate::{
    auth::{
        activation_counts::ActivationCounts, attempt_refusals::AttemptQueues, breached_passwords::BreachedPasswords,
        instance_guesses::InstanceGuesses, password_checks::PasswordChecks, rejection_cache::RejectionCache,
    },
    domain::{
        client::Client,
        email::EmailAddress,
        network::TrustedProxies,
        password::recipe::Recipe,
        policy::Policy,
        subject_keys::{SubjectKey, SubjectKeys},
    },
    error::Error,
    metrics::Metrics,
    outbox::{delivery::OutboxDelivery, events::EventWriter, read_positions::ReadPositions},
    password_hashing::HashPool,
    registration::subscribers::Subscribers,
    store::{Store, key_fingerprint},
};

/// The state that all requests share.
pub(crate) struct App {
    pub(crate) store: Store,
    /// The connections of health checks.
    pub(crate) health_database: Pool,
    pub(crate) code_secrets: CodeSecrets,
    pub(crate) subject_key: SubjectKey,
    pub(crate) policy: Policy,
    pub(crate) hash_pool: HashPool,
    pub(crate) breached_passwords: BreachedPasswords,
    pub(crate) rejection_cache: RejectionCache,
    pub(crate) password_checks: PasswordChecks,
    pub(crate) attempt_queues: AttemptQueues,
    pub(crate) instance_guesses: InstanceGuesses,
    pub(crate) activation_counts: ActivationCounts,
    /// Wakes the outbox relay.
    pub(crate) relay_wakeup: Arc<Notify>,
    /// Where the outbox relay and the metrics begin to read.
    pub(crate) outbox_positions: Arc<ReadPositions>,
    pub(crate) delivery: OutboxDelivery,
    pub(crate) public_url: String,
    pub(crate) events: EventWriter,
    pub(crate) trusted_proxies: TrustedProxies,
    /// The first peer that sent `X-Forwarded-For` without being a trusted proxy.
    pub(crate) untrusted_proxy: OnceLock<IpAddr>,
    pub(crate) metrics: Metrics,
    pub(crate) subscribers: Arc<Subscribers>,
}

impl App {
    /// Checks that `SUBJECT_KEY` is the one that this database was first used with. With another one, all limits would
    /// silently start from zero.
    pub(crate) async fn check_key_fingerprint(&self) -> Result<()> {
        let connection = self.store.connection().await?;
        let is_same =
            key_fingerprint::matches(&connection, &self.subject_key.fingerprint()).await.map_err(Error::from)?;
        anyhow::ensure!(
            is_same,
            "SUBJECT_KEY is not the one that this database was first used with, under which all rate limits are \
             stored: set that key again (versions without SUBJECT_KEY used the base64 part of the last entry of \
             CODE_SECRETS)"
        );
        Ok(())
    }

    /// The recipe (parameters and salt) that passwords of an email address are hashed with: that of the first of its
    /// stored hashes, so that one hash can be compared with all of them.
    pub(crate) fn recipe<'a>(&self, email: &EmailAddress, mut hashes: impl Iterator<Item = &'a String>) -> Recipe {
        hashes.find_map(|hash| Recipe::of(hash)).unwrap_or_else(|| self.first_recipe(email))
    }

    /// The recipe for an email address that has no hash yet. Its salt is derived from the address, so that two
    /// concurrent first registrations get the same; without `SUBJECT_KEY` it cannot be distinguished from a random one.
    pub(crate) fn first_recipe(&self, email: &EmailAddress) -> Recipe {
        let salt = self.subject_key.salt(email);
        Recipe { costs: self.hash_pool.costs(), salt: std::array::from_fn(|i| salt[i]) }
    }

    /// Makes the relay look at the outbox now. To be called after a commit that wrote to it.
    pub(crate) fn wake_relay(&self) {
        self.relay_wakeup.notify_one();
    }

    /// The keys of a request of this client for this email address.
    pub(crate) fn subject_keys(&self, email: &EmailAddress, client: Client) -> SubjectKeys {
        self.subject_key.keys(email, client)
    }

    /// The key of an email address alone.
    pub(crate) fn email_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.subject_key.email_key(email)
    }

    /// The key of the mailbox of an email address.
    pub(crate) fn mailbox_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.subject_key.mailbox_key(email)
    }

    /// The key that wrong reset codes of an email address are counted under.
    pub(crate) fn reset_guess_key(&self, email: &EmailAddress) -> [u8; 32] {
        self.subject_key.reset_guess_key(email)
    }
}

#[cfg(test)]
pub(crate) mod tests;
