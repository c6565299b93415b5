//! How long, how many, and what follows: every number of the service is judged here.

use shared::code::Key;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) field: &'static str,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(field: &'static str, code: &'static str, message: &str) -> Self {
        Self { field, code, message: message.to_owned() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) code_length: u8,
    pub(crate) code_ttl: Duration,
    pub(crate) code_max_age: Duration,
    pub(crate) code_attempts: u8,
    pub(crate) resend_throttle: Duration,
    pub(crate) codes_per_hour: usize,
    pub(crate) codes_per_day: usize,
    pub(crate) registration_ttl: Duration,
    pub(crate) password_min_length: usize,
}

/// How long an `Idempotency-Key` is remembered.
pub(crate) const IDEMPOTENCY_TTL: Duration = Duration::hours(24);

/// What a new code is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Registration,
    Resend,
}

/// The code that counts for a registration, as the database knows it.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) id: Uuid,
    pub(crate) registration: Uuid,
    pub(crate) hash: Vec<u8>,
    pub(crate) key_id: String,
    pub(crate) length: u8,
    pub(crate) attempts: u8,
    pub(crate) attempts_allowed: u8,
    pub(crate) deadline: OffsetDateTime,
    pub(crate) sent_at: Option<OffsetDateTime>,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) resend_at: OffsetDateTime,
}

/// Where a code stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No mail server has it yet.
    Waiting,
    Live,
    Expired,
    Exhausted,
}

impl Code {
    pub(crate) fn standing(&self, now: OffsetDateTime) -> Standing {
        if self.attempts >= self.attempts_allowed {
            return Standing::Exhausted;
        }
        // Half open: a code of 60 seconds is good at 59.9 and dead at 60.0.
        match self.expires_at {
            None if now < self.deadline => Standing::Waiting,
            Some(end) if now < end => Standing::Live,
            _ => Standing::Expired,
        }
    }

    pub(crate) fn attempts_left(&self) -> u8 {
        self.attempts_allowed.saturating_sub(self.attempts)
    }

    /// Compares. The attempt must have been counted, and committed, before.
    pub(crate) fn is(&self, guess: &str, key: Option<&Key>) -> bool {
        key.is_some_and(|key| key.verifies(self.id, guess, &self.hash))
    }
}

impl Policy {
    /// Whether an address may have another code, given when it had its last ones; else when it may.
    pub(crate) fn may_mint(
        &self,
        minted: &[OffsetDateTime],
        now: OffsetDateTime,
        wanted: Wanted,
    ) -> Result<(), Duration> {
        let throttle = if wanted == Wanted::Resend { self.throttled_until(minted) } else { None };
        match throttle.into_iter().chain(self.spent_until(minted)).max() {
            Some(free_at) if now < free_at => Err(free_at - now),
            _ => Ok(()),
        }
    }

    /// When the owner of the newest of these codes may ask for another.
    pub(crate) fn resend_at(&self, minted: &[OffsetDateTime], now: OffsetDateTime) -> OffsetDateTime {
        self.throttled_until(minted).into_iter().chain(self.spent_until(minted)).fold(now, OffsetDateTime::max)
    }

    /// The minting times that still matter, with the one of now.
    pub(crate) fn remember(&self, minted: &[OffsetDateTime], now: OffsetDateTime) -> Vec<OffsetDateTime> {
        let longest = Duration::DAY.max(self.resend_throttle);
        minted.iter().copied().filter(|&at| now < at + longest).chain([now]).collect()
    }

    pub(crate) fn is_over(&self, registered_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        now >= registered_at + self.registration_ttl
    }

    fn throttled_until(&self, minted: &[OffsetDateTime]) -> Option<OffsetDateTime> {
        minted.last().map(|&last| last + self.resend_throttle)
    }

    /// When the oldest of the last N leaves its window, one more fits; for both windows, the later.
    fn spent_until(&self, minted: &[OffsetDateTime]) -> Option<OffsetDateTime> {
        let windows = [(self.codes_per_hour, Duration::HOUR), (self.codes_per_day, Duration::DAY)];
        let free_at = |(limit, window)| {
            let filling = minted.len().checked_sub(limit).and_then(|oldest| minted.get(oldest));
            filling.map(|&at| at + window)
        };
        windows.into_iter().filter_map(free_at).max()
    }
}

/// Digits as a person types them: blanks around them are forgiven, nothing else.
pub(crate) fn read_code(given: &str) -> Result<&str, Fault> {
    let digits = given.trim();
    if digits.is_empty() {
        return Err(Fault::new("code", "required", "The code from the mail is needed."));
    }
    if digits.len() > 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new("code", "invalid", "A code has digits only."));
    }
    Ok(digits)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
