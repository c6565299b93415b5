//! A place in the queue: promised first, then used or given back.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{
    domain::password::{Password, proof::Proof, recipe::Recipe},
    password_hashing::{Job, Overloaded, Priority, Shared, metrics::RejectReason, now},
};

/// The right to have one password hashed, taken before anything else is done for a request.
pub(crate) struct HashPermit {
    shared: Arc<Shared>,
    errand: Priority,
    used: bool,
}

impl HashPermit {
    pub(crate) fn new(shared: Arc<Shared>, errand: Priority) -> Self {
        Self { shared, errand, used: false }
    }

    /// Dropping the future takes the password out of the queue, as far as anybody can tell.
    pub(crate) async fn prove(mut self, password: Password, recipe: Recipe) -> Result<Proof, Overloaded> {
        let (answer, tag) = oneshot::channel();
        self.used = true;
        self.shared.queue().push(Job::new(password, recipe, self.errand, now(), answer));
        self.shared.changed.notify_one();
        let why = match tag.await {
            Ok(Ok(tag)) => return Ok(Proof::new(recipe, tag)),
            Ok(Err(Overloaded)) => RejectReason::Late,
            Err(_) => RejectReason::Failed,
        };
        self.shared.counts.refused(why);
        Err(Overloaded)
    }
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        if !self.used {
            self.shared.queue().release(self.errand);
        }
    }
}
