//! How long, how many, and what follows: every number of the service is judged here.

use shared::codes::Key;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::domain::rate_limit::{
    guess_escalation::{GuessLimits, STEP},
    reset_escalation::ResetLimits,
    sliding_window::SlidingWindow,
};

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, code: &'static str, message: &str) -> Self {
        Self { field, code, message: message.to_owned() }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) guesses: GuessLimits,
    pub(crate) resets: ResetLimits,
    pub(crate) code_ttl: Duration,
    pub(crate) code_max_age: Duration,
    pub(crate) code_attempts: u8,
    pub(crate) reset_ttl: Duration,
    pub(crate) resend_throttle: Duration,
    /// What an address may have.
    pub(crate) codes: SlidingWindow,
    /// What one network may take of that.
    pub(crate) codes_from: SlidingWindow,
    pub(crate) wrong_codes_from: SlidingWindow,
    pub(crate) wrong_passwords_from: SlidingWindow,
    pub(crate) registrations_from: Option<SlidingWindow>,
    pub(crate) registration_ttl: Duration,
    pub(crate) session_ttl: Duration,
    pub(crate) password_min_length: usize,
}

/// Wrong passwords for an address: from one network, and from all that it never let in.
pub(crate) const WRONG_PASSWORDS_HERE: usize = 5;
pub(crate) const WRONG_PASSWORDS: usize = 50;

/// Wrong passwords from one network for all addresses together, but for those that have their own way in from there.
pub(crate) const WRONG_PASSWORDS_FROM: [(usize, Duration); 1] = [(100, Duration::minutes(15))];

/// Wrong codes from one network.
pub(crate) const WRONG_CODES_FROM: [(usize, Duration); 2] = [(10, Duration::minutes(10)), (30, Duration::DAY)];

/// How long an `Idempotency-Key` is remembered.
pub(crate) const IDEMPOTENCY_TTL: Duration = Duration::hours(24);

/// So many sessions a user has: one more ends the oldest.
pub(crate) const SESSIONS_PER_USER: usize = 5;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Address,
    Network,
    Account,
}

/// Too many: it is worth trying again after this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimited {
    pub(crate) scope: Scope,
    pub(crate) retry_after: Duration,
}

/// When an address had its last codes, oldest first: all, and those that one network asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct IssuedCodes {
    pub(crate) all: Vec<OffsetDateTime>,
    pub(crate) here: Vec<OffsetDateTime>,
}

/// What a new code is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodePurpose {
    Registration,
    Resend,
    /// To have another password.
    Reset,
}

/// The code that counts for a registration, or that of a reset, as the database knows it.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) id: Uuid,
    pub(crate) receipt: Uuid,
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
pub(crate) enum CodeStatus {
    /// No mail server has it yet.
    Waiting,
    Live,
    Expired,
    Exhausted,
}

impl Code {
    pub(crate) fn standing(&self, now: OffsetDateTime) -> CodeStatus {
        if self.attempts >= self.attempts_allowed {
            return CodeStatus::Exhausted;
        }
        // Half open: a code of 60 seconds is good at 59.9 and dead at 60.0.
        match self.expires_at {
            None if now < self.deadline => CodeStatus::Waiting,
            Some(end) if now < end => CodeStatus::Live,
            _ => CodeStatus::Expired,
        }
    }

    /// Compares. The attempt must have been counted, and committed, before.
    pub(crate) fn is(&self, guess: &str, key: Option<&Key>) -> bool {
        key.is_some_and(|key| key.verifies(self.id, guess, &self.hash))
    }
}

impl Policy {
    /// Whether an address may have another code for this network; else when.
    pub(crate) fn may_mint(
        &self,
        minted: &IssuedCodes,
        now: OffsetDateTime,
        wanted: CodePurpose,
    ) -> Result<(), RateLimited> {
        let throttle = if wanted == CodePurpose::Resend { self.throttled_until(minted) } else { None };
        let of_address = throttle.into_iter().chain(self.codes.free_at(&minted.all)).max();
        let of_network = self.codes_from.free_at(&minted.here);
        let limits = [(Scope::Address, of_address), (Scope::Network, of_network)];
        let longest = limits.into_iter().filter_map(|(scope, at)| Some((at?, scope))).max_by_key(|&(at, _)| at);
        match longest {
            Some((free_at, scope)) if now < free_at => Err(RateLimited { scope, retry_after: free_at - now }),
            _ => Ok(()),
        }
    }

    /// Whether a network that registered at these times may do so once more.
    pub(crate) fn may_register(&self, registered: &[OffsetDateTime], now: OffsetDateTime) -> Result<(), RateLimited> {
        let too_many = |retry_after| RateLimited { scope: Scope::Network, retry_after };
        self.registrations_from.as_ref().map_or(Ok(()), |share| share.check(registered, now).map_err(too_many))
    }

    /// When the owner of the newest of these codes may ask for another.
    pub(crate) fn resend_at(&self, minted: &IssuedCodes, now: OffsetDateTime) -> OffsetDateTime {
        let limits =
            [self.throttled_until(minted), self.codes.free_at(&minted.all), self.codes_from.free_at(&minted.here)];
        limits.into_iter().flatten().fold(now, OffsetDateTime::max)
    }

    /// The minting times that still matter, with the one of now.
    pub(crate) fn remember(&self, minted: &IssuedCodes, now: OffsetDateTime) -> IssuedCodes {
        IssuedCodes { all: self.codes.with(&minted.all, now), here: self.codes_from.with(&minted.here, now) }
    }

    /// How many codes an address can have in a year.
    pub(crate) fn codes_a_year(&self) -> u32 {
        let whole = |window: Duration| Duration::days(365).whole_seconds() / window.whole_seconds().max(1);
        let most = |&(limit, window): &(usize, Duration)| {
            i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(whole(window))
        };
        let codes = self.codes.windows().iter().map(most).min().unwrap_or(i64::MAX);
        u32::try_from(codes).unwrap_or(u32::MAX)
    }

    /// Whether a registration was guessed at too often, over all its codes.
    pub(crate) fn is_guessed_out(guesses: u32) -> bool {
        guesses >= STEP
    }

    pub(crate) fn is_over(&self, registered_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        now >= registered_at + self.registration_ttl
    }

    fn throttled_until(&self, minted: &IssuedCodes) -> Option<OffsetDateTime> {
        minted.all.last().map(|&last| last + self.resend_throttle)
    }
}

/// What is left of the tries of a code, and of those of its registration, which was guessed at so often.
pub(crate) fn attempts_left(code: &Code, guesses: u32) -> u8 {
    let of_registration = u8::try_from(STEP.saturating_sub(guesses)).unwrap_or(u8::MAX);
    code.attempts_allowed.saturating_sub(code.attempts).min(of_registration)
}

#[cfg(test)]
mod tests;
