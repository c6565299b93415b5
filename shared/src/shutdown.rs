//! The tasks of a process, and its graceful shutdown: SIGTERM or SIGINT cancels a token, the tasks drain, and a deadline
//! bounds the drain.
//!
//! How each task drains is in its own file: `http/server/accept_loop` and `outbox/relay` of the API, `consumer` of the
//! worker.

use std::{future::Future, time::Duration};

use anyhow::{Result, anyhow};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// The end of the drain timeout, which is reserved for recording the last outcomes and closing connections: work that is
/// not finished before is abandoned.
pub const CLOSE_TIME: Duration = Duration::from_secs(5);

/// A stop token that the first SIGTERM or SIGINT cancels. A second signal ends the process at once.
pub fn stop_on_signals() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if token.is_cancelled() {
                tracing::warn!("second signal; exiting without draining");
                std::process::exit(130);
            }
            tracing::info!("signal received; draining; a second signal exits at once");
            token.cancel();
        }
    });
    Ok(stop)
}

/// The long-running tasks of a process. When one of them ends or fails, all others are stopped.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<(&'static str, Result<()>)>,
    stop: CancellationToken,
    drain: Duration,
}

impl Tasks {
    /// An empty set of tasks that stop when `stop` is cancelled. From then on all of them together may take as long as
    /// `drain` (`DRAIN_SECONDS`) to finish their work; what ends earlier waits for nothing.
    pub fn new(stop: CancellationToken, drain: Duration) -> Self {
        Self { running: JoinSet::new(), stop, drain }
    }

    /// Starts a task. It must end soon after the stop token is cancelled; its name appears in errors.
    pub fn start(&mut self, name: &'static str, task: impl Future<Output = Result<()>> + Send + 'static) {
        self.running.spawn(async move { (name, task.await) });
    }

    /// Waits until all tasks have ended. A task that fails, or ends before the stop token is cancelled, cancels the
    /// token; the error is that of the first such task.
    pub async fn run(mut self) -> Result<()> {
        let mut first_failure = None;
        let mut timed_out = std::pin::pin!(drain_timeout(self.stop.clone(), self.drain));
        loop {
            let failure = tokio::select! {
                ended = self.running.join_next() => match ended {
                    None => return first_failure.map_or(Ok(()), Err),
                    Some(Err(panic)) => anyhow!(panic).context("a task panicked"),
                    Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
                    Some(Ok((name, Ok(())))) if !self.stop.is_cancelled() => anyhow!("{name} ended unexpectedly"),
                    Some(Ok(_)) => continue,
                },
                () = &mut timed_out => {
                    let (left, drain) = (self.running.len(), self.drain);
                    self.running.abort_all();
                    return Err(anyhow!("{left} task(s) did not finish within {drain:?} and were cut off"));
                }
            };
            self.stop.cancel();
            first_failure.get_or_insert(failure);
        }
    }
}

/// Completes when the drain timeout has passed after cancellation. Tasks have drain timeouts of their own that are a
/// little shorter, so that this one is the last resort.
async fn drain_timeout(stop: CancellationToken, drain: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(10);

    async fn wait_for(stop: CancellationToken) -> Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn task_that_ends_stops_the_others() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone(), DRAIN);
        tasks.start("long task", wait_for(stop));
        tasks.start("short task", async { Ok(()) });
        assert_eq!(tasks.run().await.unwrap_err().to_string(), "short task ended unexpectedly");
    }

    #[tokio::test]
    async fn panic_is_a_failure() {
        let mut tasks = Tasks::new(CancellationToken::new(), DRAIN);
        tasks.start("bad", async { panic!("oh") });
        assert!(tasks.run().await.unwrap_err().to_string().contains("a task panicked"));
    }

    #[tokio::test(start_paused = true)]
    async fn task_that_does_not_stop_is_cut_off() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone(), DRAIN);
        tasks.start("stubborn", std::future::pending());
        stop.cancel();
        assert!(format!("{:#}", tasks.run().await.unwrap_err()).contains("1 task(s) did not finish"));
    }

    #[tokio::test(start_paused = true)]
    async fn drain_timeout_covers_all_tasks_together() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone(), DRAIN);
        for seconds in [6, 12] {
            tasks.start("slow", async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(())
            });
        }
        stop.cancel();
        assert!(tasks.run().await.unwrap_err().to_string().starts_with("1 task(s) did not finish"));
    }

    #[tokio::test]
    async fn tasks_that_end_after_cancellation_succeed() {
        let stop = CancellationToken::new();
        let mut tasks = Tasks::new(stop.clone(), DRAIN);
        tasks.start("obedient", wait_for(stop.clone()));
        stop.cancel();
        tasks.run().await.unwrap();
    }
}
