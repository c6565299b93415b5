//! Connection pool: lends at most `WORKER_CONCURRENCY` SMTP connections, each to one email at a time.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use shared::telemetry::traces::spans;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};
use tracing::Instrument;

use crate::smtp::{
    Email, SendOutcome,
    client::{IdleConnection, SmtpClient, send_outcome},
    config::SmtpConfig,
    error::SmtpError,
    health::SmtpHealth,
};

/// The longest time for which a muted email occupies a connection.
const MAX_MUTED_DELAY: Duration = Duration::from_secs(5);

/// The pool of connections to the mail server.
pub(crate) struct SmtpPool {
    config: Arc<SmtpConfig>,
    permits: Semaphore,
    idle: Mutex<Vec<IdleConnection>>,
    /// How long the last accepted email took, in microseconds.
    last_accepted_micros: AtomicU64,
    health: Arc<SmtpHealth>,
}

/// A connection lent by the pool. Dropping it returns it to the pool.
#[must_use = "dropping it returns the connection to the pool"]
pub(crate) struct PooledConnection<'a> {
    pool: &'a SmtpPool,
    pub(super) client: SmtpClient,
    _permit: SemaphorePermit<'a>,
}

impl SmtpPool {
    /// Creates a pool of at most `connections` connections. They are opened when they are first used.
    pub(crate) fn new(config: Arc<SmtpConfig>, connections: u16, health: Arc<SmtpHealth>) -> SmtpPool {
        SmtpPool {
            config,
            permits: Semaphore::new(connections.into()),
            idle: Mutex::default(),
            last_accepted_micros: AtomicU64::default(),
            health,
        }
    }

    /// Waits for a free connection, first come, first served; returns `None` once the pool is draining. The wait is
    /// bounded because every SMTP step has a timeout.
    pub(crate) async fn acquire(&self) -> Option<PooledConnection<'_>> {
        let permit = self.permits.acquire().await.ok()?;
        let idle = self.idle().pop();
        Some(PooledConnection { pool: self, client: self.client(idle), _permit: permit })
    }

    /// From now on `acquire` returns `None`, also to tasks that are waiting. Lent connections can still be used.
    pub(crate) fn begin_drain(&self) {
        self.permits.close();
    }

    /// Closes all idle connections with QUIT.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        let closing = idle.into_iter().map(|idle| async { self.client(Some(idle)).close().await });
        futures_util::future::join_all(closing).await;
    }

    fn client(&self, idle: Option<IdleConnection>) -> SmtpClient {
        let mut client = SmtpClient::new(Arc::clone(&self.config));
        client.idle = idle;
        client
    }

    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        // A panic while the lock is held leaves no partial update behind.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledConnection<'_> {
    /// Sends an email. A muted email takes as long as the last one that was accepted, so that neither the time in its
    /// receipt nor that in the metrics reveals that it is muted.
    pub(crate) async fn send(&mut self, email: &Email) -> SendOutcome {
        let started = Instant::now();
        let span = spans::smtp();
        let result = self.deliver(email, started).instrument(span.clone()).await;
        span.record("smtp.reply", result.as_ref().err().map_or("2xx", SmtpError::class));
        if result.is_err() {
            span.record("failed", true);
        }
        self.pool.health.record(&result, started);
        send_outcome(&result)
    }

    async fn deliver(&mut self, email: &Email, started: Instant) -> Result<(), SmtpError> {
        let last_accepted_micros = &self.pool.last_accepted_micros;
        let result = self.client.deliver(email).await;
        match &result {
            Ok(()) if email.is_muted => {
                let last_accepted = Duration::from_micros(last_accepted_micros.load(Relaxed));
                sleep_until(started + last_accepted.min(MAX_MUTED_DELAY)).await;
            }
            Ok(()) => {
                let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                last_accepted_micros.store(micros, Relaxed);
            }
            Err(_) => {}
        }
        result
    }
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        // The client has an idle connection only if nothing is under way on it; a broken one is closed already.
        self.pool.idle().extend(self.client.idle.take());
    }
}
