//! Guess escalation: after wrong code guesses, codes get longer. The guesses are counted per email address and, as
//! instance totals, over all email addresses.

use time::{Duration, OffsetDateTime};

use crate::domain::rate_limit::guess_shares::{INSTANCE_PERCENT, InstanceLimit, InstanceTotals};

/// After this many wrong guesses an email address gets longer codes, and a registration is closed.
pub(crate) const GUESSES_PER_STEP: u32 = 9;

/// Without escalation: the maximum number of wrong guesses for an email address, until it is quiet for [`QUIET_PERIOD`].
pub(crate) const MAX_GUESSES_WITHOUT_ESCALATION: u32 = 15;

/// The wrong guesses of an email address expire when there was none for this time.
pub(crate) const QUIET_PERIOD: Duration = Duration::days(365);

/// The lengths that codes can escalate to above `CODE_LENGTH`.
const LONGER_LENGTHS: [u8; 2] = [6, 8];

/// The escalation rules for one setting of `CODE_LENGTH` and `CODE_ESCALATION`.
#[derive(Clone, Debug)]
pub(crate) struct GuessLimits {
    /// The code lengths, step by step; never empty.
    code_lengths: Vec<u8>,
    escalates: bool,
}

/// The wrong guesses of an email address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GuessRecord {
    pub(crate) wrong: u32,
    pub(crate) last_at: Option<OffsetDateTime>,
}

impl GuessRecord {
    /// The wrong guesses that count at `now`.
    pub(crate) fn wrong_at(&self, now: OffsetDateTime) -> u32 {
        if self.last_at.is_some_and(|last| now < last + QUIET_PERIOD) { self.wrong } else { 0 }
    }

    /// The record with `less` fewer wrong guesses, because they turned out to be right.
    pub(crate) fn without(&self, less: u32) -> Self {
        Self { wrong: self.wrong.saturating_sub(less), ..*self }
    }

    /// The record with `more` additional wrong guesses.
    pub(crate) fn with(&self, more: u32, now: OffsetDateTime) -> Self {
        Self { wrong: self.wrong_at(now).saturating_add(more), last_at: Some(now) }
    }
}

impl GuessLimits {
    /// `code_length` and `escalates` are the values of `CODE_LENGTH` and `CODE_ESCALATION`.
    pub(crate) fn new(code_length: u8, escalates: bool) -> Self {
        let longer = LONGER_LENGTHS.into_iter().filter(|&length| escalates && length > code_length);
        Self { code_lengths: std::iter::once(code_length).chain(longer).collect(), escalates }
    }

    /// The length that a code for this email address must have now: shorter codes are neither issued nor accepted.
    pub(crate) fn length(&self, record: &GuessRecord, totals: &InstanceTotals, now: OffsetDateTime) -> u8 {
        let own = self.code_lengths[self.step(record.wrong_at(now))];
        let longest = self.code_lengths[self.code_lengths.len() - 1];
        let is_allowed =
            |length| !self.instance_limit(length, totals.activations).is_some_and(|limit| limit.is_exceeded(totals));
        let mut allowed = self.code_lengths.iter().copied().filter(|&length| length >= own && is_allowed(length));
        allowed.next().unwrap_or(longest)
    }

    /// The limit on wrong guesses at codes of this length over all email addresses; `None` if there is none, as at the
    /// longest codes.
    pub(crate) fn instance_limit(&self, length: u8, activations: u32) -> Option<InstanceLimit> {
        let longest = self.code_lengths[self.code_lengths.len() - 1];
        InstanceLimit::of(length, activations).filter(|_| length < longest)
    }

    /// How many codes one more guess may be compared with, each comparison counting as a guess. 0 means that the email
    /// address accepts no more guesses.
    pub(crate) fn guesses_left(&self, record: &GuessRecord, now: OffsetDateTime) -> u32 {
        let wrong = record.wrong_at(now);
        if !self.escalates {
            return MAX_GUESSES_WITHOUT_ESCALATION.saturating_sub(wrong);
        }
        if self.step(wrong) + 1 < self.code_lengths.len() {
            GUESSES_PER_STEP - wrong % GUESSES_PER_STEP
        } else {
            u32::MAX
        }
    }

    /// An upper bound of the probability that an attacker without access to the mailbox guesses a code of one given
    /// email address within a year, when `codes` codes can be issued in that time and each allows `attempts` guesses.
    pub(crate) fn probability_bound(&self, codes: u32, attempts: u8) -> f64 {
        let guesses = f64::from(codes) * f64::from(attempts);
        if !self.escalates {
            return guesses.min(MAX_GUESSES_WITHOUT_ESCALATION.into()) * probability(self.code_lengths[0]);
        }
        let (last, before) =
            (self.code_lengths[self.code_lengths.len() - 1], &self.code_lengths[..self.code_lengths.len() - 1]);
        let before_last = before.iter().map(|&length| f64::from(GUESSES_PER_STEP) * probability(length)).sum::<f64>();
        before_last + guesses * probability(last)
    }

    /// The code lengths, from the shortest to the longest.
    pub(crate) fn code_lengths(&self) -> &[u8] {
        &self.code_lengths
    }

    /// The maximum number of wrong guesses for an email address at codes of one length; `None` if codes are at their
    /// longest, which has no such limit.
    pub(crate) fn per_address(&self) -> Option<u32> {
        match self.code_lengths.len() {
            _ if !self.escalates => Some(MAX_GUESSES_WITHOUT_ESCALATION),
            1 => None,
            _ => Some(GUESSES_PER_STEP),
        }
    }

    /// The limits on wrong guesses over all email addresses without any activations, for each code length that has one.
    pub(crate) fn instance_limits(&self) -> impl Iterator<Item = (u8, InstanceLimit)> {
        self.code_lengths.iter().filter_map(|&length| Some((length, self.instance_limit(length, 0)?)))
    }

    /// An upper bound of the expected number of registrations that attackers without access to the mailboxes activate
    /// within a year by guesses at codes whose length has an instance limit, over all email addresses of an instance
    /// without other activations; `None` if no length has one.
    ///
    /// The limits hold in each period of [`GUESS_WINDOW`](super::guess_shares::GUESS_WINDOW) without exception:
    /// unsettled guesses take places, and cached totals decide only while many places are left.
    pub(crate) fn instance_bound(&self) -> Option<f64> {
        let per_year =
            |(length, limit): (u8, InstanceLimit)| f64::from(limit.max_wrong()) * 365.0 * probability(length);
        self.instance_limits().map(per_year).reduce(|sum, bound| sum + bound)
    }

    /// What each activation adds to [`instance_bound`](Self::instance_bound); `None` if no limit depends on them.
    pub(crate) fn instance_bound_per_activation(&self) -> Option<f64> {
        let length = self.code_lengths[0];
        let depends = self.instance_limit(length, 0) != self.instance_limit(length, u32::MAX);
        depends.then(|| f64::from(INSTANCE_PERCENT) / 100.0 * probability(length))
    }

    /// The probability that a guess at one of the longest codes is right, which have no instance limit.
    pub(crate) fn longest_probability(&self) -> f64 {
        probability(self.code_lengths[self.code_lengths.len() - 1])
    }

    /// The index in `code_lengths` after this many wrong guesses.
    fn step(&self, wrong: u32) -> usize {
        usize::try_from(wrong / GUESSES_PER_STEP).unwrap_or(usize::MAX).min(self.code_lengths.len() - 1)
    }
}

/// The probability that a guess at a code of this length is right.
fn probability(length: u8) -> f64 {
    0.1_f64.powi(length.into())
}

#[cfg(test)]
mod tests;
