//! The rules at their exact edges.

use super::*;

const T0: OffsetDateTime = time::macros::datetime!(2026-11-21 12:00 UTC);

fn policy() -> Policy {
    Policy {
        code_length: 4,
        code_ttl: Duration::seconds(60),
        code_max_age: Duration::seconds(600),
        code_attempts: 3,
        resend_throttle: Duration::seconds(60),
        codes_per_hour: 5,
        codes_per_day: 10,
        registration_ttl: Duration::DAY,
        password_min_length: 8,
    }
}

fn code(sent_at: Option<OffsetDateTime>, attempts: u8) -> Code {
    Code {
        id: Uuid::nil(),
        registration: Uuid::nil(),
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
    assert_eq!(code.standing(after(59.999_999)), Standing::Live);
    assert_eq!(code.standing(after(60.0)), Standing::Expired);
}

#[test]
fn a_code_that_no_mail_server_took_waits_until_its_deadline() {
    assert_eq!(code(None, 0).standing(after(599.9)), Standing::Waiting);
    assert_eq!(code(None, 0).standing(after(600.0)), Standing::Expired);
}

#[test]
fn the_last_allowed_attempt_leaves_nothing() {
    assert_eq!((code(Some(T0), 2).standing(T0), code(Some(T0), 2).attempts_left()), (Standing::Live, 1));
    assert_eq!((code(Some(T0), 3).standing(T0), code(Some(T0), 3).attempts_left()), (Standing::Exhausted, 0));
}

#[test]
fn a_resend_waits_for_the_cool_down_but_a_registration_does_not() {
    let minted = [T0];
    assert_eq!(policy().may_mint(&minted, after(59.0), Wanted::Resend), Err(Duration::SECOND));
    assert_eq!(policy().may_mint(&minted, after(60.0), Wanted::Resend), Ok(()));
    assert_eq!(policy().may_mint(&minted, after(0.0), Wanted::Registration), Ok(()));
    assert_eq!(policy().resend_at(&minted, T0), after(60.0));
}

#[test]
fn five_codes_an_hour_and_not_one_more() {
    let minted = every(60, 5);
    assert_eq!(policy().may_mint(&minted[..4], after(240.0), Wanted::Registration), Ok(()));
    for wanted in [Wanted::Registration, Wanted::Resend] {
        assert_eq!(policy().may_mint(&minted, after(3599.0), wanted), Err(Duration::SECOND));
        assert_eq!(policy().may_mint(&minted, after(3600.0), wanted), Ok(()));
    }
    assert_eq!(policy().resend_at(&minted, after(240.0)), after(3600.0));
}

#[test]
fn ten_codes_a_day_and_not_one_more() {
    let minted = every(3600, 10);
    let day = Duration::DAY.as_seconds_f64();
    assert_eq!(policy().may_mint(&minted, after(day - 1.0), Wanted::Registration), Err(Duration::SECOND));
    assert_eq!(policy().may_mint(&minted, after(day), Wanted::Registration), Ok(()));
}

#[test]
fn only_the_last_day_is_remembered() {
    let minted = policy().remember(&[T0 - Duration::DAY, T0 - Duration::DAY + Duration::SECOND], T0);
    assert_eq!(minted, [T0 - Duration::DAY + Duration::SECOND, T0]);
}

#[test]
fn a_registration_is_over_after_its_day() {
    assert!(!policy().is_over(T0, T0 + Duration::DAY - Duration::NANOSECOND));
    assert!(policy().is_over(T0, T0 + Duration::DAY));
}

#[test]
fn blanks_around_a_code_are_forgiven_and_nothing_else() {
    assert_eq!(read_code(" 0042\n"), Ok("0042"));
    for (given, code) in
        [("", "required"), ("  ", "required"), ("00 42", "invalid"), ("+042", "invalid"), ("٠٠٤٢", "invalid")]
    {
        assert_eq!(read_code(given).unwrap_err().code, code, "{given:?}");
    }
}
