//! The rules at their exact edges.

use super::*;

const T0: OffsetDateTime = time::macros::datetime!(2026-11-21 12:00 UTC);

fn policy() -> Policy {
    Policy {
        guesses: GuessLimits::new(4, true),
        resets: ResetLimits::new(4),
        code_ttl: Duration::seconds(60),
        code_max_age: Duration::seconds(600),
        code_attempts: 3,
        reset_ttl: Duration::seconds(600),
        resend_throttle: Duration::seconds(60),
        codes: SlidingWindow::new(&[(5, Duration::HOUR), (10, Duration::DAY)]),
        codes_from: SlidingWindow::new(&[(3, Duration::HOUR), (5, Duration::DAY)]),
        wrong_codes_from: SlidingWindow::new(&WRONG_CODES_FROM),
        wrong_passwords_from: SlidingWindow::new(&WRONG_PASSWORDS_FROM),
        registrations_from: Some(SlidingWindow::new(&[(60, Duration::HOUR)])),
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
fn a_code_is_good_until_just_before_its_end() {
    let code = code(Some(T0), 0);
    assert_eq!(code.standing(after(59.999_999)), CodeStatus::Live);
    assert_eq!(code.standing(after(60.0)), CodeStatus::Expired);
}

#[test]
fn a_code_that_no_mail_server_took_waits_until_its_deadline() {
    assert_eq!(code(None, 0).standing(after(599.9)), CodeStatus::Waiting);
    assert_eq!(code(None, 0).standing(after(600.0)), CodeStatus::Expired);
}

#[test]
fn the_last_allowed_attempt_leaves_nothing() {
    assert_eq!((code(Some(T0), 2).standing(T0), attempts_left(&code(Some(T0), 2), 2)), (CodeStatus::Live, 1));
    assert_eq!((code(Some(T0), 3).standing(T0), attempts_left(&code(Some(T0), 3), 3)), (CodeStatus::Exhausted, 0));
}

#[test]
fn a_registration_has_nine_tries_over_all_its_codes() {
    assert_eq!([6, 7, 8, 9].map(|guesses| attempts_left(&code(Some(T0), 0), guesses)), [3, 2, 1, 0]);
    assert!(!Policy::is_guessed_out(8) && Policy::is_guessed_out(9));
}

fn address(seconds: u64) -> Result<(), RateLimited> {
    Err(RateLimited { scope: Scope::Address, retry_after: Duration::seconds(seconds.cast_signed()) })
}

fn network(seconds: u64) -> Result<(), RateLimited> {
    Err(RateLimited { scope: Scope::Network, retry_after: Duration::seconds(seconds.cast_signed()) })
}

/// Codes that other networks asked for.
fn elsewhere(all: Vec<OffsetDateTime>) -> IssuedCodes {
    IssuedCodes { all, here: vec![] }
}

/// Codes that this network asked for.
fn here(all: Vec<OffsetDateTime>) -> IssuedCodes {
    IssuedCodes { here: all.clone(), all }
}

#[test]
fn a_resend_waits_for_the_cool_down_but_a_registration_does_not() {
    let minted = here(vec![T0]);
    assert_eq!(policy().may_mint(&minted, after(59.0), CodePurpose::Resend), address(1));
    assert_eq!(policy().may_mint(&minted, after(60.0), CodePurpose::Resend), Ok(()));
    assert_eq!(policy().may_mint(&minted, after(0.0), CodePurpose::Registration), Ok(()));
    assert_eq!(policy().resend_at(&minted, T0), after(60.0));
}

#[test]
fn five_codes_an_hour_and_not_one_more() {
    let minted = elsewhere(every(60, 5));
    assert_eq!(policy().may_mint(&elsewhere(every(60, 4)), after(240.0), CodePurpose::Registration), Ok(()));
    for wanted in [CodePurpose::Registration, CodePurpose::Resend] {
        assert_eq!(policy().may_mint(&minted, after(3599.0), wanted), address(1));
        assert_eq!(policy().may_mint(&minted, after(3600.0), wanted), Ok(()));
    }
    assert_eq!(policy().resend_at(&minted, after(240.0)), after(3600.0));
}

#[test]
fn ten_codes_a_day_and_not_one_more() {
    let minted = elsewhere(every(3600, 10));
    let day = Duration::DAY.as_seconds_f64();
    assert_eq!(policy().may_mint(&minted, after(day - 1.0), CodePurpose::Registration), address(1));
    assert_eq!(policy().may_mint(&minted, after(day), CodePurpose::Registration), Ok(()));
}

#[test]
fn one_network_takes_three_of_them_an_hour_and_five_a_day() {
    let minted = here(every(60, 3));
    assert_eq!(policy().may_mint(&minted, after(3599.0), CodePurpose::Registration), network(1));
    assert_eq!(policy().may_mint(&minted, after(3600.0), CodePurpose::Registration), Ok(()));
    assert_eq!(policy().resend_at(&minted, after(120.0)), after(3600.0));
    let minted = here(every(3600, 5));
    assert_eq!(policy().may_mint(&minted, after(86_399.0), CodePurpose::Resend), network(1));
    assert_eq!(policy().may_mint(&minted, after(86_400.0), CodePurpose::Resend), Ok(()));
}

#[test]
fn one_network_registers_sixty_times_an_hour() {
    assert_eq!(policy().may_register(&every(1, 59), T0), Ok(()));
    assert_eq!(policy().may_register(&every(1, 60), after(3599.0)), network(1));
    assert_eq!(policy().may_register(&every(1, 60), after(3600.0)), Ok(()));
    let unlimited = Policy { registrations_from: None, ..policy() };
    assert_eq!(unlimited.may_register(&every(1, 1_000), T0), Ok(()));
}

#[test]
fn only_the_last_day_is_remembered() {
    let minted = here(vec![T0 - Duration::DAY, T0 - Duration::DAY + Duration::SECOND]);
    let minted = policy().remember(&minted, T0);
    assert_eq!((&minted.all, &minted.here), (&minted.here, &vec![T0 - Duration::DAY + Duration::SECOND, T0]));
}

#[test]
fn a_year_has_as_many_codes_as_its_days_allow() {
    assert_eq!(policy().codes_a_year(), 3_650);
    let scarce = Policy { codes: SlidingWindow::new(&[(1, Duration::DAY), (10, Duration::DAY)]), ..policy() };
    assert_eq!(scarce.codes_a_year(), 365);
}

#[test]
fn a_reset_takes_from_what_the_address_has_and_waits_for_no_cool_down() {
    let minted = elsewhere(every(60, 4));
    assert_eq!(policy().may_mint(&minted, after(181.0), CodePurpose::Reset), Ok(()));
    assert_eq!(policy().may_mint(&elsewhere(every(60, 5)), after(3599.0), CodePurpose::Reset), address(1));
    assert_eq!(policy().may_mint(&here(every(60, 3)), after(3599.0), CodePurpose::Reset), network(1));
}

#[test]
fn the_code_of_a_reset_may_wait_as_long_as_any_and_then_lives_its_whole_time() {
    assert_eq!(policy().reset_max_age(), Duration::seconds(1_200));
    assert_eq!(policy().resets_alive(), 5);
    assert_eq!(policy().reset_bound(), ResetLimits::new(4).bound(3_650, 5, 3));
}

#[test]
fn a_registration_is_over_after_its_day() {
    assert!(!policy().is_over(T0, T0 + Duration::DAY - Duration::NANOSECOND));
    assert!(policy().is_over(T0, T0 + Duration::DAY));
}
