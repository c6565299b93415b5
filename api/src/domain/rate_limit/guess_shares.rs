//! Limits on wrong code guesses that are a share of the activations: of the instance, and of one network.

use time::{Duration, OffsetDateTime};

use crate::domain::rate_limit::sliding_window::SlidingWindow;

/// How long a wrong guess counts.
pub(crate) const GUESS_WINDOW: Duration = Duration::DAY;

/// How long an activation counts, from the beginning of its hour: never longer than a wrong guess, though totals are
/// cached for moments.
pub(crate) const ACTIVATION_WINDOW: Duration = Duration::minutes(24 * 60 - 1);

/// After this time a guess that was not settled counts as wrong: the process that compared it has failed.
pub(crate) const UNSETTLED_TTL: Duration = Duration::seconds(30);

/// The activations of one network that count for the instance within [`ACTIVATION_WINDOW`].
pub(crate) const MAX_ACTIVATIONS_OF_NETWORK: u32 = 30;

/// The shares of the activations that may be wrong guesses, in percent.
pub(crate) const INSTANCE_PERCENT: u32 = 6;
pub(crate) const NETWORK_PERCENT: u32 = 10;

/// The wrong guesses at codes of fewer than six digits that an instance is allowed without any activations.
pub(crate) const INSTANCE_FLOOR: u32 = 20;

/// The wrong guesses at codes of six or seven digits that an instance is allowed.
const SIX_DIGITS_LIMIT: u32 = 2_000;

/// The wrong guesses that a network is allowed within this time without any activations.
const SHORT_WINDOW: (u32, Duration) = (10, Duration::minutes(10));

/// The wrong guesses within [`GUESS_WINDOW`] at codes of one length, over all email addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuessTotals {
    pub(crate) length: u8,
    pub(crate) wrong: u32,
}

/// What the limits of the instance depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InstanceTotals {
    pub(crate) guesses: Vec<GuessTotals>,
    /// Within [`ACTIVATION_WINDOW`]; of each network at most [`MAX_ACTIVATIONS_OF_NETWORK`].
    pub(crate) activations: u32,
    /// All guesses before this time are settled; `None` if that is unknown.
    pub(crate) unsettled_since: Option<OffsetDateTime>,
}

/// The limit of the instance on wrong guesses at codes of some lengths. While it is exceeded, codes of these lengths are
/// neither issued nor accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstanceLimit {
    /// The shortest and the longest of these lengths.
    pub(crate) lengths: (u8, u8),
    pub(crate) wrong: u32,
}

impl InstanceLimit {
    /// The limit for codes of this length, if there is one.
    pub(crate) fn of(length: u8, activations: u32) -> Option<Self> {
        let share = u64::from(activations) * u64::from(INSTANCE_PERCENT) / 100;
        match length {
            ..6 => Some(Self { lengths: (0, 5), wrong: INSTANCE_FLOOR.max(u32::try_from(share).unwrap_or(u32::MAX)) }),
            6..8 => Some(Self { lengths: (6, 7), wrong: SIX_DIGITS_LIMIT }),
            8.. => None,
        }
    }

    /// Whether there are more wrong guesses than the limit allows.
    pub(crate) fn is_exceeded(&self, totals: &InstanceTotals) -> bool {
        self.places(totals) == 0
    }

    /// How many codes may still be compared, if all these guesses are wrong, until the limit is exceeded.
    pub(crate) fn places(&self, totals: &InstanceTotals) -> u32 {
        let (shortest, longest) = self.lengths;
        let counted = totals.guesses.iter().filter(|total| (shortest..=longest).contains(&total.length));
        let wrong = counted.fold(0, |sum: u32, total| sum.saturating_add(total.wrong));
        self.max_wrong().saturating_sub(wrong)
    }

    /// The maximum number of wrong guesses within [`GUESS_WINDOW`]: the last one exceeds the limit.
    pub(crate) fn max_wrong(&self) -> u32 {
        self.wrong.saturating_add(1)
    }
}

/// The guesses of one network within [`GUESS_WINDOW`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkGuesses {
    /// When it submitted wrong codes, oldest first; once for each code that a guess was compared with.
    pub(crate) wrong: Vec<OffsetDateTime>,
    /// The codes that are being compared.
    pub(crate) unsettled: u32,
    /// Within [`ACTIVATION_WINDOW`]. 0 while there are fewer guesses than [`NetworkGuessLimit::base`].
    pub(crate) activations: u32,
    /// The database's time when they were read.
    pub(crate) now: OffsetDateTime,
}

/// The limit on wrong guesses of one network, for one setting of `WRONG_CODES_PER_NETWORK_PER_DAY`.
#[derive(Clone, Debug)]
pub(crate) struct NetworkGuessLimit {
    pub(crate) per_day: u32,
}

impl NetworkGuessLimit {
    /// The lowest number of guesses at which the limit may be reached.
    pub(crate) fn base(&self) -> u32 {
        self.per_day.min(SHORT_WINDOW.0)
    }

    /// The limit for a network with this number of activations.
    pub(crate) fn windows(&self, activations: u32) -> SlidingWindow {
        let share = u64::from(activations) * u64::from(NETWORK_PERCENT) / 100;
        let at_least = |limit: u32| usize::try_from(share.max(limit.into())).unwrap_or(usize::MAX);
        SlidingWindow::new(&[(at_least(SHORT_WINDOW.0), SHORT_WINDOW.1), (at_least(self.per_day), GUESS_WINDOW)])
    }

    /// How many codes the network may submit now, if all of these and of the unsettled ones are wrong. An error says how
    /// long the network has to wait, whatever becomes of the unsettled ones.
    pub(crate) fn places(&self, guesses: &NetworkGuesses) -> Result<u32, Duration> {
        let windows = self.windows(guesses.activations);
        windows.check(&guesses.wrong, guesses.now)?;
        let room = u32::try_from(windows.room(&guesses.wrong, guesses.now)).unwrap_or(u32::MAX);
        Ok(room.saturating_sub(guesses.unsettled))
    }
}

#[cfg(test)]
mod tests;
