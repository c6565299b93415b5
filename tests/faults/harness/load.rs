//! Open-loop load: simulated users start at a constant rate, whatever happens to those before them.

use std::time::Duration;

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::harness::{history::Observation, user_simulator::UserSimulator};

/// Eight users start each second: a fraction of what two cores can hash, because these tests do not measure throughput.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(125);

/// Running load. It must be stopped with [`Load::stop`], which waits for all users.
pub(crate) struct Load {
    stop: CancellationToken,
    arrivals: JoinHandle<()>,
    users: TaskTracker,
}

impl Load {
    /// Starts the load in a task.
    pub(crate) fn start(simulator: UserSimulator) -> Self {
        let stop = CancellationToken::new();
        let users = TaskTracker::new();
        let arrivals = tokio::spawn(start_users(simulator, stop.clone(), users.clone()));
        Self { stop, arrivals, users }
    }

    /// Starts no more users, and waits until those who have started are done.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.arrivals.await.unwrap();
        self.users.close();
        self.users.wait().await;
    }
}

async fn start_users(simulator: UserSimulator, stop: CancellationToken, users: TaskTracker) {
    let mut tick = tokio::time::interval(ARRIVAL_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for user in 0.. {
        tokio::select! { _ = tick.tick() => {}, () = stop.cancelled() => return }
        let simulator = simulator.clone();
        users.spawn(async move {
            simulator.run_user(user).await;
            simulator.history.record(user, Observation::Finished);
        });
    }
}
