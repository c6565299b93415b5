//! Runs a baseline on its own multi-threaded runtime, like a process of the service, so that the single-threaded driver
//! does not slow it down.

use anyhow::Result;
use tokio::{runtime::Runtime, sync::oneshot};

/// Runs the work on a new thread with a new runtime.
pub(crate) async fn run_isolated<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let (done, outcome) = oneshot::channel();
    std::thread::spawn(move || {
        let outcome = Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(work()));
        // The receiver is dropped if another part of the bench failed.
        let _ = done.send(outcome);
    });
    outcome.await?
}
