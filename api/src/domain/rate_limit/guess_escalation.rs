//! How many wrong codes an address, and everybody together, may give, and how long codes are in answer.

use time::{Duration, OffsetDateTime};

/// After so many wrong guesses an address gets longer codes, and a registration is closed.
pub(crate) const STEP: u32 = 9;

/// Without longer codes: so many wrong guesses for an address, ever.
pub(crate) const LIFETIME_CAP: u32 = 15;

/// An address that nobody guessed at for so long begins anew.
pub(crate) const QUIET: Duration = Duration::days(365);

/// What everybody guessed counts for this long: the hour that is running and 24 whole ones, never less than a day.
pub(crate) const DAY: Duration = Duration::hours(25);

/// When everybody together guessed wrong so often in a day at codes of this length, all get longer ones.
const INSTANCE_BUDGETS: [(u8, u32); 2] = [(4, 200), (6, 2_000)];

/// The lengths above the one that is set.
const LONGER: [u8; 2] = [6, 8];

/// The rules for one setting of `CODE_LENGTH` and `CODE_ESCALATION`.
#[derive(Clone, Debug)]
pub(crate) struct GuessLimits {
    /// The lengths of codes, step by step; never empty.
    ladder: Vec<u8>,
    escalates: bool,
}

/// What stands against an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GuessRecord {
    pub(crate) wrong: u32,
    pub(crate) last_at: Option<OffsetDateTime>,
}

/// The wrong guesses of the last day, by everybody, at codes of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuessTotals {
    pub(crate) length: u8,
    pub(crate) wrong: u32,
}

impl GuessRecord {
    pub(crate) fn wrong_at(&self, now: OffsetDateTime) -> u32 {
        if self.last_at.is_some_and(|last| now < last + QUIET) { self.wrong } else { 0 }
    }

    /// With so many less: they were right.
    pub(crate) fn without(&self, less: u32) -> Self {
        Self { wrong: self.wrong.saturating_sub(less), ..*self }
    }

    /// With so many more.
    pub(crate) fn with(&self, more: u32, now: OffsetDateTime) -> Self {
        Self { wrong: self.wrong_at(now).saturating_add(more), last_at: Some(now) }
    }
}

impl GuessLimits {
    pub(crate) fn new(code_length: u8, escalates: bool) -> Self {
        let longer = LONGER.into_iter().filter(|&length| escalates && length > code_length);
        Self { ladder: std::iter::once(code_length).chain(longer).collect(), escalates }
    }

    /// How long a code for this address must be now: shorter ones are neither made nor accepted.
    pub(crate) fn length(&self, record: &GuessRecord, spent: &[GuessTotals], now: OffsetDateTime) -> u8 {
        let own = self.ladder[self.step(record.wrong_at(now))];
        let open = |length: u8| !spent_out(length, spent);
        let last = self.ladder[self.ladder.len() - 1];
        self.ladder.iter().copied().find(|&length| length >= own && open(length)).unwrap_or(last)
    }

    /// How many codes one more guess may be compared with. 0 means: this address is not guessed at any more.
    pub(crate) fn room(&self, record: &GuessRecord, now: OffsetDateTime) -> u32 {
        let wrong = record.wrong_at(now);
        if !self.escalates {
            return LIFETIME_CAP.saturating_sub(wrong);
        }
        if self.step(wrong) + 1 < self.ladder.len() { STEP - wrong % STEP } else { u32::MAX }
    }

    /// How likely somebody who never reads the mail gets into one given address within a year, at most,
    /// when `codes` can be had in that time and each be tried `attempts` times.
    pub(crate) fn bound(&self, codes: u32, attempts: u8) -> f64 {
        let chance = |length: u8| 0.1_f64.powi(length.into());
        let tries = f64::from(codes) * f64::from(attempts);
        if !self.escalates {
            return tries.min(LIFETIME_CAP.into()) * chance(self.ladder[0]);
        }
        let (last, before) = (self.ladder[self.ladder.len() - 1], &self.ladder[..self.ladder.len() - 1]);
        before.iter().map(|&length| f64::from(STEP) * chance(length)).sum::<f64>() + tries * chance(last)
    }

    pub(crate) fn ladder(&self) -> &[u8] {
        &self.ladder
    }

    /// The wrong guesses that an address may see at codes of one length; at the longest, there is no such number.
    pub(crate) fn per_address(&self) -> Option<u32> {
        match self.ladder.len() {
            _ if !self.escalates => Some(LIFETIME_CAP),
            1 => None,
            _ => Some(STEP),
        }
    }

    /// What everybody together may guess wrong in a day, for each length that has a limit.
    pub(crate) fn instance_budgets(&self) -> impl Iterator<Item = (u8, u32)> {
        let before_last = &self.ladder[..self.ladder.len() - 1];
        before_last.iter().filter_map(|&length| Some((length, instance_budget(length)?)))
    }

    fn step(&self, wrong: u32) -> usize {
        usize::try_from(wrong / STEP).unwrap_or(usize::MAX).min(self.ladder.len() - 1)
    }
}

fn instance_budget(length: u8) -> Option<u32> {
    // A length between two counts as the shorter one.
    INSTANCE_BUDGETS.into_iter().rev().find(|&(from, _)| length >= from && length < 8).map(|(_, budget)| budget)
}

fn spent_out(length: u8, spent: &[GuessTotals]) -> bool {
    let wrong: u32 = spent.iter().filter(|spent| spent.length == length).map(|spent| spent.wrong).sum();
    instance_budget(length).is_some_and(|budget| wrong >= budget)
}

#[cfg(test)]
mod tests;
