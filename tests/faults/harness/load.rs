//! People who come at a constant rate, whatever becomes of those before them.

use std::time::Duration;

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::harness::{history::What, user_simulator::UserLoad};

/// Eight come in a second: a fraction of what two cores can hash, for what is asked here is not how much.
const BETWEEN_TWO: Duration = Duration::from_millis(125);

pub(crate) struct Load {
    stop: CancellationToken,
    ticking: JoinHandle<()>,
    people: TaskTracker,
}

impl Load {
    pub(crate) fn begin(user_load: UserLoad) -> Self {
        let (stop, people) = (CancellationToken::new(), TaskTracker::new());
        let (stopping, arriving) = (stop.clone(), people.clone());
        let ticking = tokio::spawn(async move {
            let mut tick = tokio::time::interval(BETWEEN_TWO);
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for who in 0.. {
                tokio::select! { _ = tick.tick() => {}, () = stopping.cancelled() => return }
                let user_load = user_load.clone();
                arriving.spawn(async move {
                    user_load.person(who).await;
                    user_load.history.note(who, What::Left);
                });
            }
        });
        Self { stop, ticking, people }
    }

    /// Nobody comes any more; those who are there finish.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.ticking.await.unwrap();
        self.people.close();
        self.people.wait().await;
    }
}
