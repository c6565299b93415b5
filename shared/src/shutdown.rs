//! How any of our processes starts its parts, and stops.

use std::{future::Future, time::Duration};

use anyhow::{Result, anyhow};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How long the parts may take to finish what they have in hand once they are told to stop.
pub const DRAIN: Duration = Duration::from_secs(10);

/// A token that the first SIGTERM or SIGINT cancels. The second one ends the process at once.
pub fn stop_on_signals() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let on_first = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if on_first.is_cancelled() {
                tracing::warn!("second signal: ending at once");
                std::process::exit(130);
            }
            tracing::info!("stopping: finishing what is in hand");
            on_first.cancel();
        }
    });
    Ok(stop)
}

/// The parts that make up a process. They live and die together.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<(&'static str, Result<()>)>,
    stop: CancellationToken,
}

impl Tasks {
    pub fn new(stop: CancellationToken) -> Self {
        Self { running: JoinSet::new(), stop }
    }

    pub fn start(&mut self, name: &'static str, part: impl Future<Output = Result<()>> + Send + 'static) {
        self.running.spawn(async move { (name, part.await) });
    }

    /// Waits for the end. A part that ends before it was told to takes the others down with it, and
    /// so does one that fails; then the error tells which.
    pub async fn run(mut self) -> Result<()> {
        let mut first_failure = None;
        let mut overdue = std::pin::pin!(overdue(self.stop.clone()));
        loop {
            let failure = tokio::select! {
                ended = self.running.join_next() => match ended {
                    None => return first_failure.map_or(Ok(()), Err),
                    Some(Err(panic)) => anyhow!(panic).context("a part panicked"),
                    Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
                    Some(Ok((name, Ok(())))) if !self.stop.is_cancelled() => anyhow!("{name} ended by itself"),
                    Some(Ok(_)) => continue,
                },
                () = &mut overdue => {
                    let left = self.running.len();
                    self.running.abort_all();
                    return Err(anyhow!("{left} part(s) did not finish within {DRAIN:?} and were cut off"));
                }
            };
            self.stop.cancel();
            first_failure.get_or_insert(failure);
        }
    }
}

/// Tasks drain by themselves, and give up a little earlier than this.
async fn overdue(stop: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(DRAIN).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wait_for(stop: CancellationToken) -> Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_part_that_ends_takes_the_others_down() {
        let stop = CancellationToken::new();
        let mut parts = Tasks::new(stop.clone());
        parts.start("the long one", wait_for(stop));
        parts.start("the short one", async { Ok(()) });
        assert_eq!(parts.run().await.unwrap_err().to_string(), "the short one ended by itself");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let mut parts = Tasks::new(CancellationToken::new());
        parts.start("bad", async { panic!("oh") });
        assert!(parts.run().await.unwrap_err().to_string().contains("a part panicked"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_will_not_stop_is_cut_off() {
        let stop = CancellationToken::new();
        let mut parts = Tasks::new(stop.clone());
        parts.start("stubborn", std::future::pending());
        stop.cancel();
        assert!(format!("{:#}", parts.run().await.unwrap_err()).contains("1 part(s) did not finish"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_to_drain_is_for_all_parts_together() {
        let stop = CancellationToken::new();
        let mut parts = Tasks::new(stop.clone());
        for seconds in [6, 12] {
            parts.start("slow", async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(())
            });
        }
        stop.cancel();
        assert!(parts.run().await.unwrap_err().to_string().starts_with("1 part(s) did not finish"));
    }

    #[tokio::test]
    async fn parts_that_end_when_told_to_are_a_success() {
        let stop = CancellationToken::new();
        let mut parts = Tasks::new(stop.clone());
        parts.start("obedient", wait_for(stop.clone()));
        stop.cancel();
        parts.run().await.unwrap();
    }
}
