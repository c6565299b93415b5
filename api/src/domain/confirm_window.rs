//! The adaptive limit of messages that wait for a publisher confirm: additive increase, multiplicative decrease, so that
//! a confirm is expected within about a second, however slow the broker is.
//!
//! A window that is too large does no harm by itself. But everything in flight is published again when a connection is
//! lost, and a relay that stops waits for it: so no more is in flight than the broker confirms in about a second.

use std::time::Duration;

use tokio::time::Instant;

/// The size at first, the minimum, and the additive increase.
pub(crate) const MIN_WINDOW: usize = 16;

/// Enough for tens of thousands of messages per second. From a broker that confirms a thousand per second on, the window
/// has this size.
const MAX_WINDOW: usize = 1_000;

/// A confirm that takes longer than this halves the window.
const MAX_LATENCY: Duration = Duration::from_secs(1);

/// The window grows only while it limits: at least a quarter of it is in flight, which is the share of notices.
const IN_USE_DIVISOR: usize = 4;

/// The window of one channel. It changes once per round trip: when the first message is confirmed that was sent since the
/// last change.
#[derive(Debug)]
pub(crate) struct ConfirmWindow {
    size: usize,
    /// Before the first slow confirm it grows by doubling: from the minimum to the maximum in six round trips.
    is_doubling: bool,
    round_started: Instant,
    /// The most messages that were in flight in this round.
    peak: usize,
}

impl ConfirmWindow {
    /// The window of a new channel.
    pub(crate) fn new(now: Instant) -> Self {
        Self { size: MIN_WINDOW, is_doubling: true, round_started: now, peak: 0 }
    }

    /// How many messages may be in flight.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Records that a message was sent. `in_flight` includes it.
    pub(crate) fn sent(&mut self, in_flight: usize) {
        self.peak = self.peak.max(in_flight);
    }

    /// Records a confirm. `in_flight` still includes its message.
    pub(crate) fn confirmed(&mut self, sent_at: Instant, now: Instant, in_flight: usize) {
        if sent_at < self.round_started {
            // How long it took follows from an earlier size.
            return;
        }
        if now - sent_at > MAX_LATENCY {
            self.is_doubling = false;
            self.size = (self.size / 2).max(MIN_WINDOW);
        } else if self.peak >= self.size / IN_USE_DIVISOR {
            let increase = if self.is_doubling { self.size } else { MIN_WINDOW };
            self.size = (self.size + increase).min(MAX_WINDOW);
        }
        self.round_started = now;
        self.peak = in_flight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// A window of this size that does not double any more.
    fn window(size: usize, now: Instant) -> ConfirmWindow {
        ConfirmWindow { size, is_doubling: false, round_started: now, peak: 0 }
    }

    /// Fills the window at `now`, and confirms the first message after `latency`. Returns the time of the confirm.
    fn round_trip(window: &mut ConfirmWindow, now: Instant, latency: Duration) -> Instant {
        let in_flight = window.size();
        window.sent(in_flight);
        window.confirmed(now, now + latency, in_flight);
        now + latency
    }

    #[test]
    fn new_window_reaches_its_maximum_in_six_round_trips() {
        let mut now = Instant::now();
        let mut window = ConfirmWindow::new(now);
        let sizes = [16, 32, 64, 128, 256, 512, 1_000, 1_000];
        for size in sizes {
            assert_eq!(window.size(), size);
            now = round_trip(&mut window, now, MILLISECOND);
        }
    }

    #[test]
    fn confirm_after_more_than_a_second_halves_the_window() {
        let now = Instant::now();
        let mut halved = window(200, now);
        round_trip(&mut halved, now, MAX_LATENCY + MILLISECOND);
        assert_eq!(halved.size(), 100);
        let mut grown = window(200, now);
        round_trip(&mut grown, now, MAX_LATENCY);
        assert_eq!(grown.size(), 200 + MIN_WINDOW);
        let mut smallest = window(MIN_WINDOW + 1, now);
        round_trip(&mut smallest, now, MAX_LATENCY + MILLISECOND);
        assert_eq!(smallest.size(), MIN_WINDOW);
    }

    #[test]
    fn slow_confirm_ends_the_doubling() {
        let mut now = Instant::now();
        let mut window = ConfirmWindow::new(now);
        for size in [32, 64, 32, 48, 64] {
            let latency = if window.size() == 64 { MAX_LATENCY + MILLISECOND } else { MILLISECOND };
            now = round_trip(&mut window, now, latency);
            assert_eq!(window.size(), size);
        }
    }

    /// What was sent with the former size says nothing about the new one.
    #[test]
    fn window_changes_once_per_round_trip() {
        let start = Instant::now();
        let mut window = window(200, start);
        window.sent(200);
        let late = start + MAX_LATENCY + MILLISECOND;
        for in_flight in (1..=200).rev() {
            window.confirmed(start, late, in_flight);
        }
        assert_eq!(window.size(), 100);
        window.sent(1);
        window.confirmed(late, late + MAX_LATENCY + MILLISECOND, 1);
        assert_eq!(window.size(), 50);
    }

    #[test]
    fn window_grows_only_while_a_quarter_of_it_is_in_flight() {
        for (in_flight, size) in [(49, 200), (50, 200 + MIN_WINDOW)] {
            let now = Instant::now();
            let mut window = window(200, now);
            window.sent(in_flight);
            window.confirmed(now, now + MILLISECOND, in_flight);
            assert_eq!(window.size(), size);
        }
    }

    /// A broker that confirms one message after the other, at a rate that it shares between several relays.
    #[test]
    fn window_settles_at_what_is_confirmed_in_a_second() {
        const RATE: usize = 62;
        let start = Instant::now();
        let mut window = ConfirmWindow::new(start);
        let mut sent: std::collections::VecDeque<Instant> = std::collections::VecDeque::new();
        let mut sizes = Vec::new();
        for confirms in 1..=120 * RATE {
            let now = start + Duration::from_secs(confirms as u64) / RATE as u32;
            if let Some(sent_at) = sent.front() {
                window.confirmed(*sent_at, now, sent.len());
                sent.pop_front();
            }
            while sent.len() < window.size() {
                sent.push_back(now);
                window.sent(sent.len());
            }
            sizes.push(window.size());
        }
        assert!(sizes.iter().all(|size| *size <= 4 * RATE), "{:?}", sizes.iter().max());
        let settled = &sizes[10 * RATE..];
        let (least, most) = (*settled.iter().min().unwrap(), *settled.iter().max().unwrap());
        assert!(least >= RATE / 4 && most <= 2 * RATE, "{least} to {most}");
    }
}
