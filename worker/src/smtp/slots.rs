//! The slots of a worker, each lent to one letter at a time: so many connections to the mail server, and no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Kept, Slot, server::Server};

pub(crate) struct Slots {
    server: Arc<Server>,
    places: Semaphore,
    /// The connections of those that nobody has.
    idle: Mutex<Vec<Kept>>,
}

/// A slot in somebody's hands. However they let go of it, it is there for the next.
pub(crate) struct Loan<'a> {
    slots: &'a Slots,
    pub(crate) slot: Slot,
    _place: SemaphorePermit<'a>,
}

impl Slots {
    pub(crate) fn new(server: Arc<Server>, connections: u16) -> Slots {
        Slots { server, places: Semaphore::new(connections.into()), idle: Mutex::default() }
    }

    /// The next slot that is free, first come first served; `None` once no more are lent. The wait has an end
    /// because every step of SMTP has a timeout.
    pub(crate) async fn borrow(&self) -> Option<Loan<'_>> {
        let _place = self.places.acquire().await.ok()?;
        let kept = self.idle().pop();
        Some(Loan { slots: self, slot: self.slot(kept), _place })
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

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        // What became of a connection on the way is the slot's business: here it comes back in order or not at all.
        self.slots.idle().extend(self.slot.kept.take());
    }
}
