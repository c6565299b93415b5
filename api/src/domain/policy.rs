//! The policy: code lifetimes and attempts, rate limits, session and registration lifetimes, and the decisions based on
//! them.

use shared::codes::Key;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::domain::rate_limit::{
    guess_escalation::{GUESSES_PER_STEP, GuessLimits},
    guess_shares::NetworkGuessLimit,
    lockout::LockoutRule,
    reset_escalation::ResetLimits,
    sliding_window::SlidingWindow,
};

/// A validation error of one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    /// The machine-readable error code.
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl FieldError {
    /// An error of `field`. `code` is for programs, `message` for users.
    pub(crate) fn new(field: &'static str, code: &'static str, message: &str) -> Self {
        Self { field, code, message: message.to_owned() }
    }
}

/// The numbers of all rules, as configured.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Guess escalation of registration codes.
    pub(crate) guesses: GuessLimits,
    /// Guess escalation of reset codes.
    pub(crate) resets: ResetLimits,
    /// How long a registration code is valid after a mail server accepted its mail.
    pub(crate) code_ttl: Duration,
    /// The maximum age of a registration code: it expires at this age at the latest, whenever its mail was sent.
    pub(crate) code_max_age: Duration,
    /// The wrong guesses that one code allows.
    pub(crate) code_attempts: u8,
    /// How long a reset code is valid after a mail server accepted its mail.
    pub(crate) reset_ttl: Duration,
    /// The minimum time from one code to a resend.
    pub(crate) resend_throttle: Duration,
    /// Rate limit: codes per email address.
    pub(crate) codes: SlidingWindow,
    /// Rate limit: codes per email address and network.
    pub(crate) codes_per_network: SlidingWindow,
    /// Rate limit: wrong codes per network; `None` is unlimited.
    pub(crate) wrong_codes_per_network: Option<NetworkGuessLimit>,
    /// Rate limit: wrong passwords per network.
    pub(crate) wrong_passwords_per_network: SlidingWindow,
    /// Rate limit: password changes per account; resets do not count.
    pub(crate) password_changes: SlidingWindow,
    /// Rate limit: registrations per network; `None` is unlimited.
    pub(crate) registrations_per_network: Option<SlidingWindow>,
    /// Rate limit: password checks per network in [`PASSWORD_CHECK_WINDOW`], correct or wrong; `None` is unlimited.
    pub(crate) password_checks_per_network: Option<usize>,
    /// How long a registration can be activated.
    pub(crate) registration_ttl: Duration,
    pub(crate) session_ttl: Duration,
    pub(crate) password_min_length: usize,
}

/// Lockout of an email address for a network that is not known to it: an IPv4 address or an IPv6 /64.
pub(crate) const NETWORK_LOCKOUT: LockoutRule = LockoutRule::attempts(5);

/// Lockouts of an email address for the surroundings of an IPv6 network that is not known to it: its /56 and its /48.
pub(crate) const SURROUNDINGS_LOCKOUTS: [LockoutRule; 2] = [LockoutRule::attempts(20), LockoutRule::attempts(50)];

/// Lockout of an email address for all networks that are not known to it.
pub(crate) const ACCOUNT_LOCKOUT: LockoutRule = LockoutRule::attempts(50);

/// Lockout of an email address for one network that is known to it.
pub(crate) const KNOWN_NETWORK_LOCKOUT: LockoutRule = LockoutRule::attempts(20);

/// Lockout of an email address for a browser in which its owner has opened an unlock link.
pub(crate) const UNLOCKED_BROWSER_LOCKOUT: LockoutRule =
    LockoutRule { attempts: 20, window: UNLOCK_TTL, first_lock: UNLOCK_TTL };

/// After so many wrong passwords for an email address without a right one, only known networks and unlocked browsers
/// may try.
pub(crate) const MAX_CONSECUTIVE_FAILURES: u32 = 100;

/// How long a network is known to an account after its owner has activated it, logged in or reset the password there.
pub(crate) const KNOWN_NETWORK_TTL: Duration = Duration::days(90);

/// How long an unlock link can be opened, and how long the browser is let in then. Links are mailed at this interval.
pub(crate) const UNLOCK_TTL: Duration = Duration::DAY;

/// Unlock links that one network causes to be mailed to addresses without an account or an open registration.
pub(crate) const UNLOCK_MAILS_PER_NETWORK: (usize, Duration) = (20, Duration::HOUR);

/// Resets of its own that a known network or an unlocked browser has when those of the mailbox are used up.
pub(crate) const OWN_RESETS: (usize, Duration) = (3, Duration::DAY);

/// Reset codes for the account of a muted mailbox.
pub(crate) const MUTED_RESETS: (usize, Duration) = (1, Duration::DAY);

/// Rate limit: wrong passwords from one network for all email addresses together, except those to which it is known.
pub(crate) const WRONG_PASSWORDS_PER_NETWORK: [(usize, Duration); 1] = [(100, Duration::minutes(15))];

/// The window of the rate limit on password checks per network.
pub(crate) const PASSWORD_CHECK_WINDOW: Duration = Duration::MINUTE;

/// How long an `Idempotency-Key` is remembered.
pub(crate) const IDEMPOTENCY_TTL: Duration = Duration::hours(24);

/// The maximum number of sessions of a user: one more ends the oldest.
pub(crate) const SESSIONS_PER_USER: usize = 5;

/// What a rate limit applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The email address.
    Address,
    Network,
    Account,
}

/// A rate limit is exceeded. A retry after `retry_after` can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimited {
    pub(crate) scope: Scope,
    pub(crate) retry_after: Duration,
}

/// When the last codes for an email address were issued, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct IssuedCodes {
    pub(crate) all: Vec<OffsetDateTime>,
    /// Those that the network of the client requested.
    pub(crate) by_network: Vec<OffsetDateTime>,
}

/// What a new code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodePurpose {
    Registration,
    Resend,
    /// A password reset.
    Reset,
}

/// The current code of a registration, or the code of a reset, as stored.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) id: Uuid,
    /// The id of its registration or reset.
    pub(crate) receipt: Uuid,
    pub(crate) hash: Vec<u8>,
    /// The key of `CODE_SECRETS` that made the hash.
    pub(crate) key_id: String,
    pub(crate) length: u8,
    /// The guesses counted so far.
    pub(crate) attempts: u8,
    pub(crate) attempts_allowed: u8,
    /// The code expires at this time at the latest, whether or not a mail server has accepted its mail.
    pub(crate) deadline: OffsetDateTime,
    /// When a mail server accepted the mail.
    pub(crate) sent_at: Option<OffsetDateTime>,
    /// Set together with `sent_at`.
    pub(crate) expires_at: Option<OffsetDateTime>,
    /// When another code may be requested.
    pub(crate) resend_at: OffsetDateTime,
}

/// The status of a code at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeStatus {
    /// No mail server has accepted the mail yet.
    Waiting,
    Live,
    Expired,
    /// No attempts are left.
    Exhausted,
}

impl Code {
    /// The status at `now`.
    pub(crate) fn status(&self, now: OffsetDateTime) -> CodeStatus {
        if self.attempts >= self.attempts_allowed {
            return CodeStatus::Exhausted;
        }
        // Half open: a code of 60 seconds is valid at 59.9 and expired at 60.0.
        match self.expires_at {
            None if now < self.deadline => CodeStatus::Waiting,
            Some(end) if now < end => CodeStatus::Live,
            _ => CodeStatus::Expired,
        }
    }

    /// Whether the guess is right. The caller must have counted the attempt, and committed that, before. Without the
    /// key of the code no guess is right.
    pub(crate) fn matches(&self, guess: &str, key: Option<&Key>) -> bool {
        key.is_some_and(|key| key.verifies(self.id, guess, &self.hash))
    }
}

impl Policy {
    /// Checks the rate limits of codes: whether one more code may be issued to this email address for this network.
    pub(crate) fn check_code_limits(
        &self,
        issued: &IssuedCodes,
        now: OffsetDateTime,
        purpose: CodePurpose,
    ) -> Result<(), RateLimited> {
        let throttle = if purpose == CodePurpose::Resend { self.throttled_until(issued) } else { None };
        let address_free_at = throttle.into_iter().chain(self.codes.free_at(&issued.all)).max();
        let network_free_at = self.codes_per_network.free_at(&issued.by_network);
        let limits = [(Scope::Address, address_free_at), (Scope::Network, network_free_at)];
        let longest = limits.into_iter().filter_map(|(scope, at)| Some((at?, scope))).max_by_key(|&(at, _)| at);
        match longest {
            Some((free_at, scope)) if now < free_at => Err(RateLimited { scope, retry_after: free_at - now }),
            _ => Ok(()),
        }
    }

    /// Checks the rate limit of registrations per network; `registered` are the times of the last ones.
    pub(crate) fn check_registration_limit(
        &self,
        registered: &[OffsetDateTime],
        now: OffsetDateTime,
    ) -> Result<(), RateLimited> {
        let rate_limited = |retry_after| RateLimited { scope: Scope::Network, retry_after };
        self.registrations_per_network
            .as_ref()
            .map_or(Ok(()), |limit| limit.check(registered, now).map_err(rate_limited))
    }

    /// When a resend is allowed after these codes.
    pub(crate) fn resend_at(&self, issued: &IssuedCodes, now: OffsetDateTime) -> OffsetDateTime {
        let limits = [
            self.throttled_until(issued),
            self.codes.free_at(&issued.all),
            self.codes_per_network.free_at(&issued.by_network),
        ];
        limits.into_iter().flatten().fold(now, OffsetDateTime::max)
    }

    /// The issue times that still count, and the one of a code issued at `now`.
    pub(crate) fn record_issued(&self, issued: &IssuedCodes, now: OffsetDateTime) -> IssuedCodes {
        IssuedCodes {
            all: self.codes.with(&issued.all, now),
            by_network: self.codes_per_network.with(&issued.by_network, now),
        }
    }

    /// The maximum number of codes that can be issued to an email address in a year.
    pub(crate) fn codes_a_year(&self) -> u32 {
        let windows_a_year = |window: Duration| Duration::days(365).whole_seconds() / window.whole_seconds().max(1);
        let max_codes = |&(limit, window): &(usize, Duration)| {
            i64::try_from(limit).unwrap_or(i64::MAX).saturating_mul(windows_a_year(window))
        };
        let codes = self.codes.windows().iter().map(max_codes).min().unwrap_or(i64::MAX);
        u32::try_from(codes).unwrap_or(u32::MAX)
    }

    /// Whether the guesses of a registration are used up, over all its codes.
    pub(crate) fn guesses_exhausted(guesses: u32) -> bool {
        guesses >= GUESSES_PER_STEP
    }

    /// Whether a registration has expired.
    pub(crate) fn is_expired(&self, registered_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        now >= registered_at + self.registration_ttl
    }

    fn throttled_until(&self, issued: &IssuedCodes) -> Option<OffsetDateTime> {
        issued.all.last().map(|&last| last + self.resend_throttle)
    }
}

/// The attempts left for a code: limited by its own, and by those of its registration, which had `guesses` so far.
pub(crate) fn attempts_left(code: &Code, guesses: u32) -> u8 {
    let left_of_registration = u8::try_from(GUESSES_PER_STEP.saturating_sub(guesses)).unwrap_or(u8::MAX);
    code.attempts_allowed.saturating_sub(code.attempts).min(left_of_registration)
}

impl Policy {
    /// The maximum age of a reset code. The mail may take as long as that of a registration code, and the code is still
    /// valid for its whole lifetime after that.
    pub(crate) fn reset_max_age(&self) -> Duration {
        self.code_max_age + self.reset_ttl
    }

    /// The maximum number of codes of an email address that are valid at once, if all of them are reset codes.
    pub(crate) fn resets_alive(&self) -> u32 {
        self.codes.max_in(self.reset_max_age())
    }

    /// An upper bound of the probability that an attacker without access to the mailbox takes over one given account in
    /// a year, from one network that is known to the account and any number of others.
    pub(crate) fn reset_probability_bound(&self) -> f64 {
        // A network that is known to the account has resets of its own beside those of the mailbox.
        let own = SlidingWindow::new(&[OWN_RESETS]);
        let codes = self.codes_a_year().saturating_add(own.max_in(Duration::days(365)));
        let alive = self.resets_alive().saturating_add(own.max_in(self.reset_max_age()));
        self.resets.probability_bound(codes, alive, self.code_attempts)
    }
}

#[cfg(test)]
pub(crate) mod tests;
