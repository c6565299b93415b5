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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::audit::tests;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// The check with a service that gives this answer to each lookup.
    async fn check_with(answer: &'static str) -> BreachedPasswords {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_buf(&mut head).await.unwrap();
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        BreachedPasswords::new(Some(RangeService::parse(&url).unwrap()))
    }

    async fn check(check: &BreachedPasswords) -> Result<(), FieldError> {
        check.check(&Password::parse("password").unwrap(), "new_password").await
    }

    #[tokio::test]
    async fn only_a_listed_password_is_refused() {
        let listed = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n1E4C9B93F3F0682250B6CF8331B7EE68FD8:3";
        let error = check(&check_with(listed).await).await.unwrap_err();
        assert_eq!((error.field, error.code), ("new_password", "too-common"));
        let other = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0018A45C4D1DEF81644B54AB7F969B88D65:3";
        assert_eq!(check(&check_with(other).await).await, Ok(()));
    }

    #[test]
    fn outage_of_the_service_is_logged_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lines = tests::logged(|| {
            runtime.block_on(async {
                let failing = check_with("not HTTP").await;
                for _ in 0..3 {
                    assert_eq!(check(&failing).await, Ok(()));
                }
            });
        });
        let warnings = lines.iter().filter(|line| line["level"] == "WARN");
        let events: Vec<_> = warnings.map(|line| &line["message"]).collect();
        assert_eq!(events, ["breached password lookup failed; accepting passwords unchecked"]);
    }

    #[tokio::test]
    async fn without_an_answer_every_password_is_accepted() {
        assert_eq!(check(&BreachedPasswords::new(None)).await, Ok(()));
        let failing = check_with("HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n").await;
        assert_eq!(check(&failing).await, Ok(()));
        assert!(failing.is_failing.load(Ordering::Relaxed));
    }
}
