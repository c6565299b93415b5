//! Tests of the policy at its exact limits.

use super::*;
use shared::codes::CodeSecrets;

const T0: OffsetDateTime = time::macros::datetime!(2026-11-21 12:00 UTC);

/// The policy with the default settings.
pub(crate) fn policy() -> Policy {
    Policy {
        guesses: GuessLimits::new(4, true),
        resets: ResetLimits::new(4),
        code_ttl: Duration::seconds(60),
        code_max_age: Duration::seconds(600),
        code_attempts: 3,
        reset_ttl: Duration::seconds(600),
        resend_throttle: Duration::seconds(60),
        codes: SlidingWindow::new(&[(5, Duration::HOUR), (10, Duration::DAY)]),
        codes_per_network: SlidingWindow::new(&[(3, Duration::HOUR), (5, Duration::DAY)]),
        wrong_codes_per_network: Some(NetworkGuessLimit { per_day: 30 }),
        password_changes: SlidingWindow::new(&[(5, Duration::DAY)]),
        wrong_passwords_per_network: SlidingWindow::new(&WRONG_PASSWORDS_PER_NETWORK),
        registrations_per_network: Some(SlidingWindow::new(&[(60, Duration::HOUR)])),
        password_checks_per_network: Some(120),
        registration_ttl: Duration::DAY,
        session_ttl: Duration::DAY,
        password_min_length: 8,
    }
}

fn code(sent_at: Option<OffsetDateTime>, attempts: u8) -> Code {
    Code {
        id: Uuid::nil(),
        receipt: Uuid::nil(),
        hash: vec![],
        key_id: "a".into(),
        length: 4,
        attempts,
        attempts_allowed: 3,
        deadline: T0 + Duration::seconds(600),
        sent_at,
        expires_at: sent_at.map(|at| at + Duration::seconds(60)),
        resend_at: T0,
    }
}

fn after(seconds: f64) -> OffsetDateTime {
    T0 + Duration::seconds_f64(seconds)
}

fn every(seconds: i64, times: i64) -> Vec<OffsetDateTime> {
    (0..times).map(|n| T0 + Duration::seconds(n * seconds)).collect()
}

#[test]
fn code_expires_exactly_at_its_end() {
    let code = code(Some(T0), 0);
    assert_eq!(code.status(after(59.999_999)), CodeStatus::Live);
    assert_eq!(code.status(after(60.0)), CodeStatus::Expired);
}

#[test]
fn unsent_code_waits_until_its_deadline() {
    assert_eq!(code(None, 0).status(after(599.9)), CodeStatus::Waiting);
    assert_eq!(code(None, 0).status(after(600.0)), CodeStatus::Expired);
}

#[test]
fn last_allowed_attempt_exhausts_the_code() {
    assert_eq!((code(Some(T0), 2).status(T0), attempts_left(&code(Some(T0), 2), 2)), (CodeStatus::Live, 1));
    assert_eq!((code(Some(T0), 3).status(T0), attempts_left(&code(Some(T0), 3), 3)), (CodeStatus::Exhausted, 0));
}

#[test]
fn only_the_digits_of_the_code_match() {
    let secrets = CodeSecrets::parse("a:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
    let key = secrets.newest();
    let code = Code { hash: key.verifier(Uuid::nil(), "0042").to_vec(), ..code(Some(T0), 0) };
    assert!(code.matches("0042", Some(key)));
    assert!(!code.matches("0043", Some(key)));
    assert!(!code.matches("0042", None), "without the key of the code no guess is right");
}

#[test]
fn registration_allows_nine_guesses_over_all_codes() {
    assert_eq!([6, 7, 8, 9].map(|guesses| attempts_left(&code(Some(T0), 0), guesses)), [3, 2, 1, 0]);
    assert!(!Policy::guesses_exhausted(8) && Policy::guesses_exhausted(9));
}

fn limited_by_address(seconds: u64) -> Result<(), RateLimited> {
    Err(RateLimited { scope: Scope::Address, retry_after: Duration::seconds(seconds.cast_signed()) })
}

fn limited_by_network(seconds: u64) -> Result<(), RateLimited> {
    Err(RateLimited { scope: Scope::Network, retry_after: Duration::seconds(seconds.cast_signed()) })
}

/// Codes that other networks requested.
fn issued_to_others(all: Vec<OffsetDateTime>) -> IssuedCodes {
    IssuedCodes { all, by_network: vec![] }
}

/// Codes that this network requested.
fn issued_to_network(all: Vec<OffsetDateTime>) -> IssuedCodes {
    IssuedCodes { by_network: all.clone(), all }
}

#[test]
fn resend_is_throttled_but_registration_is_not() {
    let issued = issued_to_network(vec![T0]);
    assert_eq!(policy().check_code_limits(&issued, after(59.0), CodePurpose::Resend), limited_by_address(1));
    assert_eq!(policy().check_code_limits(&issued, after(60.0), CodePurpose::Resend), Ok(()));
    assert_eq!(policy().check_code_limits(&issued, after(0.0), CodePurpose::Registration), Ok(()));
    assert_eq!(policy().resend_at(&issued, T0), after(60.0));
}

#[test]
fn sixth_code_within_an_hour_is_rate_limited() {
    let issued = issued_to_others(every(60, 5));
    assert_eq!(
        policy().check_code_limits(&issued_to_others(every(60, 4)), after(240.0), CodePurpose::Registration),
        Ok(())
    );
    for purpose in [CodePurpose::Registration, CodePurpose::Resend] {
        assert_eq!(policy().check_code_limits(&issued, after(3599.0), purpose), limited_by_address(1));
        assert_eq!(policy().check_code_limits(&issued, after(3600.0), purpose), Ok(()));
    }
    assert_eq!(policy().resend_at(&issued, after(240.0)), after(3600.0));
}

#[test]
fn eleventh_code_within_a_day_is_rate_limited() {
    let issued = issued_to_others(every(3600, 10));
    let day = Duration::DAY.as_seconds_f64();
    assert_eq!(policy().check_code_limits(&issued, after(day - 1.0), CodePurpose::Registration), limited_by_address(1));
    assert_eq!(policy().check_code_limits(&issued, after(day), CodePurpose::Registration), Ok(()));
}

#[test]
fn codes_per_network_are_limited_per_hour_and_day() {
    let issued = issued_to_network(every(60, 3));
    assert_eq!(policy().check_code_limits(&issued, after(3599.0), CodePurpose::Registration), limited_by_network(1));
    assert_eq!(policy().check_code_limits(&issued, after(3600.0), CodePurpose::Registration), Ok(()));
    assert_eq!(policy().resend_at(&issued, after(120.0)), after(3600.0));
    let issued = issued_to_network(every(3600, 5));
    assert_eq!(policy().check_code_limits(&issued, after(86_399.0), CodePurpose::Resend), limited_by_network(1));
    assert_eq!(policy().check_code_limits(&issued, after(86_400.0), CodePurpose::Resend), Ok(()));
}

#[test]
fn registrations_per_network_are_limited_per_hour() {
    assert_eq!(policy().check_registration_limit(&every(1, 59), T0), Ok(()));
    assert_eq!(policy().check_registration_limit(&every(1, 60), after(3599.0)), limited_by_network(1));
    assert_eq!(policy().check_registration_limit(&every(1, 60), after(3600.0)), Ok(()));
    let unlimited = Policy { registrations_per_network: None, ..policy() };
    assert_eq!(unlimited.check_registration_limit(&every(1, 1_000), T0), Ok(()));
}

#[test]
fn issue_times_older_than_a_day_are_dropped() {
    let issued = issued_to_network(vec![T0 - Duration::DAY, T0 - Duration::DAY + Duration::SECOND]);
    let issued = policy().record_issued(&issued, T0);
    assert_eq!(
        (&issued.all, &issued.by_network),
        (&issued.by_network, &vec![T0 - Duration::DAY + Duration::SECOND, T0])
    );
}

#[test]
fn codes_a_year_follow_from_the_daily_limit() {
    assert_eq!(policy().codes_a_year(), 3_650);
    let policy_of_one_a_day =
        Policy { codes: SlidingWindow::new(&[(1, Duration::DAY), (10, Duration::DAY)]), ..policy() };
    assert_eq!(policy_of_one_a_day.codes_a_year(), 365);
}

#[test]
fn reset_is_rate_limited_but_not_throttled() {
    let issued = issued_to_others(every(60, 4));
    assert_eq!(policy().check_code_limits(&issued, after(181.0), CodePurpose::Reset), Ok(()));
    assert_eq!(
        policy().check_code_limits(&issued_to_others(every(60, 5)), after(3599.0), CodePurpose::Reset),
        limited_by_address(1)
    );
    assert_eq!(
        policy().check_code_limits(&issued_to_network(every(60, 3)), after(3599.0), CodePurpose::Reset),
        limited_by_network(1)
    );
}

#[test]
fn reset_max_age_is_waiting_time_plus_lifetime() {
    assert_eq!(policy().reset_max_age(), Duration::seconds(1_200));
    assert_eq!(policy().resets_alive(), 5);
    // Beside those of the mailbox, a known network has three a day, on parts of 366 days in a year.
    let (own, alive) = (3 * 366, 5 + 3);
    assert_eq!(policy().reset_probability_bound(), ResetLimits::new(4).probability_bound(3_650 + own, alive, 3));
}

#[test]
fn registration_expires_exactly_at_its_end() {
    assert!(!policy().is_expired(T0, T0 + Duration::DAY - Duration::NANOSECOND));
    assert!(policy().is_expired(T0, T0 + Duration::DAY));
}
