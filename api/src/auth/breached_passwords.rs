//! Refuses new passwords that a range service lists as breached.
//!
//! The service gets the first five digits of a password's SHA-1, and returns the rest of all listed hashes that begin
//! with them (k-anonymity). The check fails open: without an answer, a password is accepted.

mod range;
pub(crate) mod range_service;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{range::PasswordDigest, range_service::RangeService};
use crate::domain::{password::Password, policy::FieldError};

/// The timeout of a lookup, from the name of the service to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How many lookups may run at the same time. Further passwords are accepted without one.
const MAX_LOOKUPS: usize = 16;

/// The check of new passwords, with the state of its service.
pub(crate) struct BreachedPasswords {
    /// `None`: the check is off.
    service: Option<RangeService>,
    permits: Arc<Semaphore>,
    /// Whether the last lookup failed.
    is_failing: AtomicBool,
}

impl BreachedPasswords {
    /// Creates the check; without a service it accepts every password.
    pub(crate) fn new(service: Option<RangeService>) -> Self {
        Self { service, permits: Arc::new(Semaphore::new(MAX_LOOKUPS)), is_failing: AtomicBool::new(false) }
    }

    /// Rejects a new password that is listed. `field` is its field in the request.
    ///
    /// May take a second. The caller holds no hash permit and no connection meanwhile, and calls this before it reads
    /// anything about the account, so that the response reveals nothing about it.
    pub(crate) async fn check(&self, password: &Password, field: &'static str) -> Result<(), FieldError> {
        let Some(service) = &self.service else { return Ok(()) };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return Ok(()) };
        let lookup = tokio::time::timeout(TIMEOUT, is_listed(service, password, permit)).await;
        match lookup.context("timed out").flatten() {
            Ok(is_listed) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("breached password lookup recovered; checking new passwords again");
                }
                if is_listed { Err(breached(field)) } else { Ok(()) }
            }
            Err(error) => {
                // Logged once per outage.
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        service = service.name(),
                        error = format!("{error:#}"),
                        "breached password lookup failed; accepting passwords unchecked"
                    );
                }
                Ok(())
            }
        }
    }
}

async fn is_listed(service: &RangeService, password: &Password, permit: OwnedSemaphorePermit) -> Result<bool> {
    let digest = PasswordDigest::of(password);
    let answer = service.range(digest.prefix(), permit).await?;
    Ok(digest.is_listed_in(&answer)?)
}

/// The same code as for the list of common passwords: for a user, both are passwords that attackers try.
fn breached(field: &'static str) -> FieldError {
    FieldError::new(field, "too-common", "This password is known from data breaches. Choose another one.")
}
