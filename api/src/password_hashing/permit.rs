//! Permits of the hash queue: a slot is reserved first, then used or released.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    domain::{
        network::Network,
        password::{Password, computed_hash::ComputedHash, recipe::Recipe},
    },
    password_hashing::{Job, Overloaded, Priority, Shared, metrics::RejectReason, now},
};

/// A reserved slot in the hash queue: the right to have one password hashed. It is taken before anything else is done
/// for a request. Dropping it releases the slot.
pub(crate) struct HashPermit {
    shared: Arc<Shared>,
    network: Network,
    priority: Priority,
    used: bool,
}

impl HashPermit {
    /// Wraps a slot that the caller has reserved in the queue.
    pub(crate) fn new(shared: Arc<Shared>, network: Network, priority: Priority) -> Self {
        Self { shared, network, priority, used: false }
    }

    /// Queues the password and waits for its hash. Fails if it waits longer than the maximum wait. If the future is
    /// dropped, the password is not hashed, unless a thread has started already.
    pub(crate) async fn hash(mut self, password: Password, recipe: Recipe) -> Result<ComputedHash, Overloaded> {
        let (reply, tag) = oneshot::channel();
        self.used = true;
        let job = Job::new(password, recipe, self.network, self.priority, now(), reply);
        self.shared.queue().push(job);
        self.shared.changed.notify_one();
        let reason = match tag.await {
            Ok(Ok(tag)) => return Ok(ComputedHash::new(recipe, tag)),
            Ok(Err(Overloaded)) => RejectReason::Late,
            Err(_) => RejectReason::Failed,
        };
        self.shared.metrics.rejected(reason);
        Err(Overloaded)
    }
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        if !self.used {
            self.shared.queue().release(self.network, self.priority);
        }
    }
}
