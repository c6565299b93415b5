//! So many of something in a while: what is left, and when there is more.

use time::{Duration, OffsetDateTime};

/// At most so many in each of these windows, all of which slide.
#[derive(Clone, Debug)]
pub(crate) struct SlidingWindow {
    windows: Vec<(usize, Duration)>,
}

impl SlidingWindow {
    pub(crate) fn new(windows: &[(usize, Duration)]) -> Self {
        Self { windows: windows.to_vec() }
    }

    /// When one more fits, given when the last ones were used, oldest first; `None`: it always did.
    pub(crate) fn free_at(&self, used: &[OffsetDateTime]) -> Option<OffsetDateTime> {
        // When the oldest of the last N leaves its window, one more fits; for all windows, the latest.
        let free_at = |&(limit, window): &(usize, Duration)| {
            let filling = used.len().checked_sub(limit).and_then(|oldest| used.get(oldest));
            filling.map(|&at| at + window)
        };
        self.windows.iter().filter_map(free_at).max()
    }

    /// How long to wait for one more.
    pub(crate) fn check(&self, used: &[OffsetDateTime], now: OffsetDateTime) -> Result<(), Duration> {
        match self.free_at(used) {
            Some(free_at) if now < free_at => Err(free_at - now),
            _ => Ok(()),
        }
    }

    /// Those that still matter, with the one of now.
    pub(crate) fn with(&self, used: &[OffsetDateTime], now: OffsetDateTime) -> Vec<OffsetDateTime> {
        let longest = self.longest();
        used.iter().copied().filter(|&at| now < at + longest).chain([now]).collect()
    }

    /// What was used before this long matters no more.
    pub(crate) fn longest(&self) -> Duration {
        self.windows.iter().map(|&(_, window)| window).max().unwrap_or_default()
    }

    /// How many there can be in a time of this length, at most.
    pub(crate) fn most_in(&self, length: Duration) -> u32 {
        let in_windows = |&(limit, window): &(usize, Duration)| {
            let whole = length.whole_seconds().max(0);
            let windows =
                whole.checked_div(window.whole_seconds()).map_or(i64::MAX, |windows| windows.saturating_add(1));
            i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(windows)
        };
        let most = self.windows.iter().map(in_windows).min().unwrap_or(i64::MAX);
        u32::try_from(most).unwrap_or(u32::MAX)
    }

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
    fn every_window_must_have_room() {
        let share = SlidingWindow::new(&[(3, Duration::HOUR), (5, Duration::DAY)]);
        let used = every(60, 3);
        assert_eq!(share.check(&used[..2], T0), Ok(()));
        assert_eq!(share.check(&used, T0 + Duration::seconds(3_599)), Err(Duration::SECOND));
        assert_eq!(share.check(&used, T0 + Duration::HOUR), Ok(()));
        let used = every(3_600, 5);
        assert_eq!(share.check(&used, T0 + Duration::hours(23)), Err(Duration::HOUR));
        assert_eq!(share.check(&used, T0 + Duration::DAY), Ok(()));
    }

    #[test]
    fn in_a_while_there_can_be_no_more_than_its_windows_take() {
        let share = SlidingWindow::new(&[(3, Duration::HOUR), (5, Duration::DAY)]);
        assert_eq!([1, 3_599].map(|seconds| share.most_in(Duration::seconds(seconds))), [3, 3]);
        // One at its very beginning, one at its very end: a window that slides takes neither of them for the other.
        assert_eq!(share.most_in(Duration::HOUR), 5);
        assert_eq!(share.most_in(Duration::days(2)), 15);
    }

    #[test]
    fn what_no_longer_matters_is_forgotten() {
        let share = SlidingWindow::new(&[(3, Duration::HOUR)]);
        let now = T0 + Duration::HOUR;
        assert_eq!(share.with(&every(1_800, 2), now), [T0 + Duration::minutes(30), now]);
        assert_eq!(share.with(&[], T0), [T0]);
    }
}
