//! The settings of the policy: code lifetimes, attempts and rate limits.

use anyhow::Result;

use super::{check_range, parse_on_off, settings::RawSettings};
use crate::domain::{
    policy::{Policy, WRONG_PASSWORDS_PER_NETWORK},
    rate_limit::{
        guess_escalation::GuessLimits, guess_shares::NetworkGuessLimit, reset_escalation::ResetLimits,
        sliding_window::SlidingWindow,
    },
};

/// Validates the settings of the policy.
pub(crate) fn check(settings: &RawSettings) -> Result<Policy> {
    let seconds = |seconds: u32| time::Duration::seconds(seconds.into());
    check_range("CODE_LENGTH", settings.code_length.into(), 4, 10)?;
    check_range("CODE_TTL_SECONDS", settings.code_ttl_seconds, 1, 3_600)?;
    check_range("CODE_MAX_AGE_SECONDS", settings.code_max_age_seconds, settings.code_ttl_seconds, 86_400)?;
    check_range("CODE_ATTEMPTS", settings.code_attempts.into(), 1, 10)?;
    check_range("RESET_TTL_SECONDS", settings.reset_ttl_seconds, 1, 3_600)?;
    check_range("CODES_PER_HOUR", settings.codes_per_hour.into(), 1, 1_000)?;
    check_range("CODES_PER_DAY", settings.codes_per_day.into(), 1, 1_000)?;
    check_range("REGISTRATIONS_PER_NETWORK_PER_HOUR", settings.registrations_per_network_per_hour.into(), 0, 10_000)?;
    check_range("WRONG_CODES_PER_NETWORK_PER_DAY", settings.wrong_codes_per_network_per_day.into(), 0, 10_000)?;
    check_range("PASSWORD_CHANGES_PER_DAY", settings.password_changes_per_day.into(), 1, 1_000)?;
    let password_checks: u32 = settings.password_checks_per_network_per_minute.into();
    check_range("PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE", password_checks, 0, 10_000)?;
    check_range("RESEND_THROTTLE_SECONDS", settings.resend_throttle_seconds, 0, 86_400)?;
    check_range("REGISTRATION_TTL_SECONDS", settings.registration_ttl_seconds, 1, 31_536_000)?;
    check_range("SESSION_TTL_SECONDS", settings.session_ttl_seconds, 1, 31_536_000)?;
    check_range("PASSWORD_MIN_LENGTH", settings.password_min_length.into(), 8, 64)?;
    Ok(Policy {
        guesses: GuessLimits::new(settings.code_length, parse_on_off("CODE_ESCALATION", &settings.code_escalation)?),
        resets: ResetLimits::new(settings.code_length),
        code_ttl: seconds(settings.code_ttl_seconds),
        code_max_age: seconds(settings.code_max_age_seconds),
        code_attempts: settings.code_attempts,
        reset_ttl: seconds(settings.reset_ttl_seconds),
        resend_throttle: seconds(settings.resend_throttle_seconds),
        codes: codes(settings.codes_per_hour.into(), settings.codes_per_day.into()),
        // A network may use 3 of 5 codes an hour and 5 of 10 a day, or the same share of other numbers.
        codes_per_network: codes(
            (settings.codes_per_hour * 3 / 5).max(1).into(),
            (settings.codes_per_day / 2).max(1).into(),
        ),
        wrong_codes_per_network: match settings.wrong_codes_per_network_per_day {
            0 => None,
            limit => Some(NetworkGuessLimit { per_day: limit.into() }),
        },
        wrong_passwords_per_network: SlidingWindow::new(&WRONG_PASSWORDS_PER_NETWORK),
        password_changes: SlidingWindow::new(&[(settings.password_changes_per_day.into(), time::Duration::DAY)]),
        registrations_per_network: match settings.registrations_per_network_per_hour {
            0 => None,
            limit => Some(SlidingWindow::new(&[(limit.into(), time::Duration::HOUR)])),
        },
        password_checks_per_network: match settings.password_checks_per_network_per_minute {
            0 => None,
            limit => Some(limit.into()),
        },
        registration_ttl: seconds(settings.registration_ttl_seconds),
        session_ttl: seconds(settings.session_ttl_seconds),
        password_min_length: settings.password_min_length.into(),
    })
}

fn codes(per_hour: usize, per_day: usize) -> SlidingWindow {
    SlidingWindow::new(&[(per_hour, time::Duration::HOUR), (per_day, time::Duration::DAY)])
}
