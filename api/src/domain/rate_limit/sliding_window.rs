//! Sliding-window rate limit: at most N uses in any window of a given length.

use time::{Duration, OffsetDateTime};

/// A rate limit of one or several sliding windows, all of which must have capacity.
#[derive(Clone, Debug)]
pub(crate) struct SlidingWindow {
    /// (limit, window length)
    windows: Vec<(usize, Duration)>,
}

impl SlidingWindow {
    /// `windows` are pairs of a limit and a window length.
    pub(crate) fn new(windows: &[(usize, Duration)]) -> Self {
        Self { windows: windows.to_vec() }
    }

    /// When one more use is allowed, given the times of the last uses, oldest first; `None` if it always was.
    pub(crate) fn free_at(&self, used: &[OffsetDateTime]) -> Option<OffsetDateTime> {
        // One more use is allowed when the oldest of the last N leaves its window, in all windows: the latest such
        // time.
        let free_at = |&(limit, window): &(usize, Duration)| {
            let oldest_counted = used.len().checked_sub(limit).and_then(|oldest| used.get(oldest));
            oldest_counted.map(|&at| at + window)
        };
        self.windows.iter().filter_map(free_at).max()
    }

    /// Whether one more use is allowed now. An error says how long to wait.
    pub(crate) fn check(&self, used: &[OffsetDateTime], now: OffsetDateTime) -> Result<(), Duration> {
        match self.free_at(used) {
            Some(free_at) if now < free_at => Err(free_at - now),
            _ => Ok(()),
        }
    }

    /// How many more uses are allowed now.
    pub(crate) fn room(&self, used: &[OffsetDateTime], now: OffsetDateTime) -> usize {
        let room = |&(limit, window): &(usize, Duration)| {
            limit.saturating_sub(used.iter().filter(|&&at| now < at + window).count())
        };
        self.windows.iter().map(room).min().unwrap_or(usize::MAX)
    }

    /// The uses that still count, and the one at `now`.
    pub(crate) fn with(&self, used: &[OffsetDateTime], now: OffsetDateTime) -> Vec<OffsetDateTime> {
        let longest = self.longest_window();
        used.iter().copied().filter(|&at| now < at + longest).chain([now]).collect()
    }

    /// The length of the longest window: uses older than this do not count.
    pub(crate) fn longest_window(&self) -> Duration {
        self.windows.iter().map(|&(_, window)| window).max().unwrap_or_default()
    }

    /// The maximum number of uses in any period of this length.
    pub(crate) fn max_in(&self, length: Duration) -> u32 {
        let in_windows = |&(limit, window): &(usize, Duration)| {
            let whole = length.whole_seconds().max(0);
            let windows =
                whole.checked_div(window.whole_seconds()).map_or(i64::MAX, |windows| windows.saturating_add(1));
            i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(windows)
        };
        let max = self.windows.iter().map(in_windows).min().unwrap_or(i64::MAX);
        u32::try_from(max).unwrap_or(u32::MAX)
    }

    /// Pairs of a limit and a window length.
    pub(crate) fn windows(&self) -> &[(usize, Duration)] {
        &self.windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn every(seconds: i64, times: i64) -> Vec<OffsetDateTime> {
        (0..times).map(|n| T0 + Duration::seconds(n * seconds)).collect()
    }

    #[test]
    fn every_window_must_have_capacity() {
        let limit = SlidingWindow::new(&[(3, Duration::HOUR), (5, Duration::DAY)]);
        let used = every(60, 3);
        assert_eq!(limit.check(&used[..2], T0), Ok(()));
        assert_eq!(limit.check(&used, T0 + Duration::seconds(3_599)), Err(Duration::SECOND));
        assert_eq!(limit.check(&used, T0 + Duration::HOUR), Ok(()));
        let used = every(3_600, 5);
        assert_eq!(limit.check(&used, T0 + Duration::hours(23)), Err(Duration::HOUR));
        assert_eq!(limit.check(&used, T0 + Duration::DAY), Ok(()));
    }

    #[test]
    fn room_is_that_of_the_fullest_window() {
        let limit = SlidingWindow::new(&[(3, Duration::HOUR), (5, Duration::DAY)]);
        assert_eq!([0, 2, 3, 4].map(|uses| limit.room(&every(60, uses), T0 + Duration::minutes(5))), [3, 1, 0, 0]);
        assert_eq!(limit.room(&every(60, 4), T0 + Duration::hours(2)), 1);
    }

    #[test]
    fn maximum_in_a_period_follows_from_the_windows() {
        let limit = SlidingWindow::new(&[(3, Duration::HOUR), (5, Duration::DAY)]);
        assert_eq!([1, 3_599].map(|seconds| limit.max_in(Duration::seconds(seconds))), [3, 3]);
        // Uses at the very beginning and at the very end of the period are in different windows.
        assert_eq!(limit.max_in(Duration::HOUR), 5);
        assert_eq!(limit.max_in(Duration::days(2)), 15);
    }

    #[test]
    fn uses_outside_the_window_are_dropped() {
        let limit = SlidingWindow::new(&[(3, Duration::HOUR)]);
        let now = T0 + Duration::HOUR;
        assert_eq!(limit.with(&every(1_800, 2), now), [T0 + Duration::minutes(30), now]);
        assert_eq!(limit.with(&[], T0), [T0]);
    }
}
