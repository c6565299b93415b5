//! Work on a runtime of its own, as a process of the service has one, so that the driver's does not slow it.

use anyhow::Result;
use tokio::{runtime::Runtime, sync::oneshot};

pub(crate) async fn run_isolated<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let (done, outcome) = oneshot::channel();
    std::thread::spawn(move || {
        let outcome = Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(work()));
        // Nobody waits any more when another part of the bench has failed.
        let _ = done.send(outcome);
    });
    outcome.await?
}
