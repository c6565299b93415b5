//! A channel and the confirms that are awaited on it: how many messages may be in flight, and when the broker is in doubt.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lapin::{BasicProperties, Confirmation, Connection, Result};
use shared::amqp::confirms::{ConfirmedChannel, To};
use tokio::time::{Instant, sleep_until};

use crate::domain::confirm_window::ConfirmWindow;

/// How long the broker may send no confirm at all, of any message of the channel, while some are awaited. A broker that is
/// slow confirms one message after the other; a connection that is half-open confirms none.
pub(crate) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// A channel in confirm mode. Clones share it.
#[derive(Clone)]
pub(crate) struct PublishChannel {
    channel: ConfirmedChannel,
    pub(crate) confirms: Arc<Confirms>,
}

impl PublishChannel {
    /// Opens a channel. `message_timeout`: see [`Confirms::new`].
    pub(crate) async fn open(connection: &Connection, message_timeout: Duration) -> Result<Self> {
        let channel = ConfirmedChannel::open(connection).await?;
        Ok(Self { channel, confirms: Arc::new(Confirms::new(message_timeout)) })
    }

    /// Whether the channel can still publish.
    pub(crate) fn is_open(&self) -> bool {
        self.channel.is_open()
    }

    /// Sends a message, and waits for its confirm.
    pub(crate) async fn publish(&self, to: To<'_>, body: &[u8], properties: BasicProperties) -> Result<Confirmation> {
        let confirm = self.channel.publish(to, body, properties).await?;
        shared::fault_points::point("relay-after-publish");
        confirm.await
    }
}

/// The confirms that are awaited on one channel.
pub(crate) struct Confirms {
    message_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    awaited: usize,
    /// The last confirm, or later, when the first one began to be awaited.
    progress_at: Instant,
    window: ConfirmWindow,
}

impl Confirms {
    /// `message_timeout` is how long a single message may wait while others are confirmed. It only ends what would otherwise
    /// wait for ever: messages of a queue that is unavailable, or a confirm that the broker forgot.
    fn new(message_timeout: Duration) -> Self {
        let now = Instant::now();
        let state = State { awaited: 0, progress_at: now, window: ConfirmWindow::new(now) };
        Self { message_timeout, state: Mutex::new(state) }
    }

    /// How many messages may be in flight.
    pub(crate) fn window(&self) -> usize {
        self.state().window.size()
    }

    /// Begins to await the confirm of a message that is sent next.
    pub(crate) fn begin(&self) -> AwaitedConfirm<'_> {
        let now = Instant::now();
        let mut state = self.state();
        if state.awaited == 0 {
            state.progress_at = now;
        }
        state.awaited += 1;
        let in_flight = state.awaited;
        state.window.sent(in_flight);
        AwaitedConfirm { confirms: self, sent_at: now }
    }

    /// Time before this moment does not count: the broker read nothing.
    pub(crate) fn restart_clock(&self) {
        self.state().progress_at = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A confirm that is awaited until this is dropped.
#[must_use]
pub(crate) struct AwaitedConfirm<'a> {
    confirms: &'a Confirms,
    sent_at: Instant,
}

impl AwaitedConfirm<'_> {
    /// Records that the broker has confirmed or rejected the message.
    pub(crate) fn arrived(self) {
        let now = Instant::now();
        let mut state = self.confirms.state();
        state.progress_at = now;
        let in_flight = state.awaited;
        state.window.confirmed(self.sent_at, now, in_flight);
    }

    /// Returns when the confirm is overdue: the broker has confirmed nothing for [`CONFIRM_TIMEOUT`], or not this message
    /// for the timeout of a single one, which begins with the call.
    pub(crate) async fn overdue(&self) {
        let timeout = Instant::now() + self.confirms.message_timeout;
        loop {
            let deadline = timeout.min(self.confirms.state().progress_at + CONFIRM_TIMEOUT);
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

impl Drop for AwaitedConfirm<'_> {
    fn drop(&mut self) {
        self.confirms.state().awaited -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    const SECOND: Duration = Duration::from_secs(1);
    const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

    /// The time until the confirm is overdue; whole seconds, as timers are off by up to a millisecond.
    async fn time_until_overdue(awaited: &AwaitedConfirm<'_>) -> Duration {
        let started = Instant::now();
        awaited.overdue().await;
        Duration::from_secs(started.elapsed().as_secs_f64().round() as u64)
    }

    #[tokio::test(start_paused = true)]
    async fn silent_broker_is_in_doubt_after_the_timeout() {
        let confirms = Confirms::new(MESSAGE_TIMEOUT);
        sleep(MESSAGE_TIMEOUT).await;
        let first = confirms.begin();
        sleep(SECOND).await;
        let second = confirms.begin();
        // The timeout began with the first one, because none was awaited before.
        assert_eq!(time_until_overdue(&second).await, CONFIRM_TIMEOUT - SECOND);
        assert_eq!(time_until_overdue(&first).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn confirm_of_any_message_postpones_the_doubt() {
        let confirms = Confirms::new(MESSAGE_TIMEOUT);
        let last = confirms.begin();
        let mut overdue = std::pin::pin!(last.overdue());
        for _ in 0..10 {
            let other = confirms.begin();
            assert!(timeout(CONFIRM_TIMEOUT - SECOND, &mut overdue).await.is_err());
            other.arrived();
        }
        assert!(timeout(CONFIRM_TIMEOUT - SECOND, &mut overdue).await.is_err());
        assert!(timeout(2 * SECOND, &mut overdue).await.is_ok());
    }

    /// The broker confirms all others.
    #[tokio::test(start_paused = true)]
    async fn single_forgotten_confirm_is_overdue_in_the_end() {
        let confirms = Confirms::new(MESSAGE_TIMEOUT);
        let forgotten = confirms.begin();
        let others = async {
            loop {
                sleep(SECOND).await;
                confirms.begin().arrived();
            }
        };
        tokio::select! {
            taken = time_until_overdue(&forgotten) => assert_eq!(taken, MESSAGE_TIMEOUT),
            () = others => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn restarted_clock_postpones_the_doubt() {
        let confirms = Confirms::new(MESSAGE_TIMEOUT);
        let awaited = confirms.begin();
        sleep(CONFIRM_TIMEOUT).await;
        confirms.restart_clock();
        assert_eq!(time_until_overdue(&awaited).await, CONFIRM_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_message_is_awaited_no_more() {
        let confirms = Confirms::new(MESSAGE_TIMEOUT);
        drop(confirms.begin());
        sleep(CONFIRM_TIMEOUT).await;
        assert_eq!(time_until_overdue(&confirms.begin()).await, CONFIRM_TIMEOUT);
    }
}
