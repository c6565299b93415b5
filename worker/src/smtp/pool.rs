//! The slots of a worker, each lent to one email at a time: so many connections to the mail server, and no more.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

use crate::smtp::{Email, Kept, SendOutcome, Slot, health::SmtpHealth, server::Server, verdict};

/// A muted email keeps a connection from others no longer than this.
const LONGEST_PRETENCE: Duration = Duration::from_secs(5);

pub(crate) struct SmtpPool {
    server: Arc<Server>,
    places: Semaphore,
    /// The connections of those that nobody has.
    idle: Mutex<Vec<Kept>>,
    /// How long the last email took that was taken.
    last_micros: AtomicU64,
    heard: Arc<SmtpHealth>,
}

/// A slot in somebody's hands. However they let go of it, it is there for the next.
pub(crate) struct PooledConnection<'a> {
    slots: &'a SmtpPool,
    pub(crate) slot: Slot,
    _place: SemaphorePermit<'a>,
}

impl SmtpPool {
    pub(crate) fn new(server: Arc<Server>, connections: u16, heard: Arc<SmtpHealth>) -> SmtpPool {
        let (places, idle) = (Semaphore::new(connections.into()), Mutex::default());
        SmtpPool { server, places, idle, last_micros: AtomicU64::default(), heard }
    }

    /// The next slot that is free, first come first served; `None` once no more are lent. The wait has an end
    /// because every step of SMTP has a timeout.
    pub(crate) async fn borrow(&self) -> Option<PooledConnection<'_>> {
        let _place = self.places.acquire().await.ok()?;
        let kept = self.idle().pop();
        Some(PooledConnection { slots: self, slot: self.slot(kept), _place })
    }

    /// From now on, also to those who wait for one. Who has one may finish.
    pub(crate) fn lend_no_more(&self) {
        self.places.close();
    }

    /// Says goodbye to the mail server on all connections that nobody uses.
    pub(crate) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        let goodbyes = idle.into_iter().map(|kept| async { self.slot(Some(kept)).close().await });
        futures_util::future::join_all(goodbyes).await;
    }

    fn slot(&self, kept: Option<Kept>) -> Slot {
        Slot { kept, ..Slot::new(Arc::clone(&self.server)) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        // Nothing is left half done under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledConnection<'_> {
    /// One that is muted takes as long as the last that was not, so that the time on its receipt tells nothing.
    pub(crate) async fn send(&mut self, email: &Email) -> SendOutcome {
        let (begun, last) = (Instant::now(), &self.slots.last_micros);
        let said = self.slot.deliver(email).await;
        self.slots.heard.hear(&said, begun);
        let sent = verdict(&said);
        match sent {
            SendOutcome::Accepted if email.is_muted => {
                sleep_until(begun + Duration::from_micros(last.load(Relaxed)).min(LONGEST_PRETENCE)).await;
            }
            SendOutcome::Accepted => {
                last.store(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed)
            }
            SendOutcome::RetryLater(_) | SendOutcome::Never(_) => {}
        }
        sent
    }
}

impl Drop for PooledConnection<'_> {
    fn drop(&mut self) {
        // What became of a connection on the way is the slot's business: here it comes back in order or not at all.
        self.slots.idle().extend(self.slot.kept.take());
    }
}
