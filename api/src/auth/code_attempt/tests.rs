//! Tests of which codes a guess may be compared with.

use super::*;
use crate::{
    app::tests::app,
    domain::{
        email::EmailAddress,
        rate_limit::{
            guess_escalation::{GUESSES_PER_STEP, GuessRecord},
            guess_shares::GuessTotals,
        },
    },
};
use i18n::Language;
use time::{Duration, OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// An open registration whose live code has this length.
fn registration(number: u128, length: u8) -> Registration {
    let code = Code {
        id: Uuid::from_u128(number),
        receipt: Uuid::from_u128(number),
        hash: vec![],
        key_id: "a".into(),
        length,
        attempts: 0,
        attempts_allowed: 3,
        deadline: NOW + Duration::MINUTE,
        sent_at: Some(NOW),
        expires_at: Some(NOW + Duration::MINUTE),
        resend_at: NOW,
    };
    Registration {
        id: Uuid::from_u128(number),
        email: EmailAddress::parse("ada@example.com").unwrap(),
        password_hash: String::new(),
        language: Language::English,
        created_at: NOW,
        activated_at: None,
        closed_at: None,
        guesses: 0,
        undeliverable: false,
        dropped: false,
        code,
        now: NOW,
    }
}

fn changed(number: u128, change: impl FnOnce(&mut Registration)) -> Registration {
    let mut registration = registration(number, 4);
    change(&mut registration);
    registration
}

/// What a guess depends on beside the registrations.
struct Limits {
    wrong: u32,
    totals: InstanceTotals,
    of_network: Option<NetworkGuesses>,
}

const NO_GUESSES: Limits = Limits {
    wrong: 0,
    totals: InstanceTotals { guesses: vec![], activations: 0, unsettled_since: None },
    of_network: None,
};

/// The numbers of the registrations that a guess may be compared with.
fn compared_by(app: &App, current: Vec<Registration>, limits: &Limits) -> Result<Vec<u128>, Error> {
    let ledger =
        GuessCounts { record: GuessRecord { wrong: limits.wrong, last_at: Some(NOW - Duration::DAY) }, now: NOW };
    let compared = comparable_registrations(app, current, &ledger, &limits.totals, limits.of_network.as_ref())?;
    Ok(ids(&compared).iter().map(|id| id.as_u128()).collect())
}

fn compared(current: Vec<Registration>, limits: &Limits) -> Result<Vec<u128>, Error> {
    compared_by(&app(), current, limits)
}

#[tokio::test]
async fn only_live_codes_of_open_registrations_are_compared() {
    let current = vec![
        registration(1, 4),
        changed(2, |registration| registration.code.expires_at = Some(NOW)),
        changed(3, |registration| registration.code.attempts = 3),
        changed(4, |registration| registration.closed_at = Some(NOW)),
        changed(5, |registration| registration.activated_at = Some(NOW)),
        changed(6, |registration| registration.guesses = GUESSES_PER_STEP),
        changed(7, |registration| registration.created_at = NOW - Duration::DAY),
        registration(8, 4),
    ];
    assert_eq!(compared(current, &NO_GUESSES).unwrap(), [1, 8]);
}

#[tokio::test]
async fn codes_shorter_than_required_are_not_compared() {
    let escalated = Limits { wrong: GUESSES_PER_STEP, ..NO_GUESSES };
    let current = || vec![registration(1, 4), registration(2, 6), registration(3, 8)];
    assert_eq!(compared(current(), &NO_GUESSES).unwrap(), [1, 2, 3]);
    assert_eq!(compared(current(), &escalated).unwrap(), [2, 3]);
    assert!(matches!(compared(vec![registration(1, 4)], &escalated), Err(Error::CodeExpired)));
}

#[tokio::test]
async fn newest_registration_explains_why_no_code_is_compared() {
    let refused =
        |newest: Registration| compared(vec![newest, changed(9, |other| other.code.attempts = 3)], &NO_GUESSES);
    let waiting = changed(1, |registration| {
        registration.code.attempts = 1;
        registration.code.expires_at = None;
    });
    assert!(matches!(refused(waiting), Err(Error::CodeNotSent { attempts_left: 2 })));
    let with = |change: fn(&mut Registration)| refused(changed(1, change));
    assert!(matches!(with(|registration| registration.code.expires_at = Some(NOW)), Err(Error::CodeExpired)));
    assert!(matches!(with(|registration| registration.code.attempts = 3), Err(Error::CodeExhausted)));
    assert!(matches!(with(|registration| registration.closed_at = Some(NOW)), Err(Error::RegistrationClosed)));
    assert!(matches!(with(|registration| registration.activated_at = Some(NOW)), Err(Error::AlreadyActive)));
    assert!(matches!(compared(vec![], &NO_GUESSES), Err(Error::Unauthenticated)));
}

#[tokio::test]
async fn no_more_codes_are_compared_than_guesses_are_left() {
    let current = || (1..=4).map(|number| registration(number, 4)).collect();
    assert_eq!(compared(current(), &Limits { wrong: 7, ..NO_GUESSES }).unwrap(), [1, 2]);
    let network = |wrong| {
        let of_network = NetworkGuesses { wrong: vec![NOW; wrong], unsettled: 0, activations: 0, now: NOW };
        compared(current(), &Limits { of_network: Some(of_network), ..NO_GUESSES })
    };
    assert_eq!(network(7).unwrap(), [1, 2, 3]);
    assert!(matches!(network(10), Err(Error::RateLimited(RateLimited { scope: Scope::Network, .. }))));
    let instance = |wrong| {
        let totals = InstanceTotals { guesses: vec![GuessTotals { length: 4, wrong }], ..InstanceTotals::default() };
        compared(current(), &Limits { totals, ..NO_GUESSES })
    };
    assert_eq!(instance(20).unwrap(), [1]);
    assert!(matches!(instance(21), Err(Error::CodeExpired)), "codes of this length are not accepted any more");
}

#[tokio::test]
async fn guess_without_a_place_waits_for_unsettled_ones() {
    let of_network = |unsettled| Some(NetworkGuesses { wrong: vec![], unsettled, activations: 0, now: NOW });
    let compared =
        |unsettled| compared(vec![registration(1, 4)], &Limits { of_network: of_network(unsettled), ..NO_GUESSES });
    assert_eq!(compared(9).unwrap(), [1]);
    assert!(matches!(compared(10), Err(Error::Overloaded)));
}

#[tokio::test]
async fn without_escalation_guesses_end_for_a_quiet_year() {
    let mut app = app();
    app.policy.guesses = crate::domain::rate_limit::guess_escalation::GuessLimits::new(4, false);
    let compared = |wrong| compared_by(&app, vec![registration(1, 4)], &Limits { wrong, ..NO_GUESSES });
    assert_eq!(compared(14).unwrap(), [1]);
    let Err(Error::RateLimited(limit)) = compared(15) else { panic!("the address accepts no more guesses") };
    assert_eq!(limit, RateLimited { scope: Scope::Address, retry_after: QUIET_PERIOD - Duration::DAY });
}

#[tokio::test]
async fn network_without_a_limit_has_any_number_of_places() {
    let mut app = app();
    let many = NetworkGuesses { wrong: vec![NOW; 1_000], unsettled: 0, activations: 0, now: NOW };
    assert!(network_guesses::check(&app, Some(&many)).is_err());
    assert_eq!(network_guesses::check(&app, None), Ok(u32::MAX));
    app.policy.wrong_codes_per_network = None;
    assert_eq!(network_guesses::check(&app, Some(&many)), Ok(u32::MAX));
}

#[tokio::test]
async fn code_of_an_unknown_key_is_no_wrong_guess() {
    let unknown = changed(2, |registration| registration.code.key_id = "b".into());
    let refused = compared(vec![registration(1, 4), unknown], &NO_GUESSES);
    let Err(Error::Unavailable(cause)) = refused else { panic!("the key is not in CODE_SECRETS") };
    assert!(cause.to_string().contains("made with the key b"), "{cause}");
}

#[test]
fn counted_guess_takes_an_attempt_from_each_code() {
    let mut registrations = [registration(1, 6), registration(2, 4)];
    assert_eq!(note_guess(&mut registrations, 6), 2);
    assert_eq!(
        registrations.each_ref().map(|registration| (registration.code.attempts, registration.guesses)),
        [(1, 1); 2]
    );
    assert_eq!(note_guess(&mut registrations, 4), 1);
    assert_eq!(note_guess(&mut registrations, 8), 0, "the code is too short by now");
    let mut last_of_registration = [changed(1, |registration| registration.guesses = GUESSES_PER_STEP - 1)];
    assert_eq!(note_guess(&mut last_of_registration, 4), 0);
    assert_eq!(note_guess(&mut [], 4), 0);
}

#[test]
fn shortest_code_decides_about_the_instance_limit() {
    assert_eq!(shortest_code(&[registration(1, 6), registration(2, 4), registration(3, 8)]), 4);
    assert_eq!(shortest_code(&[]), u8::MAX, "longer than any code that has a limit");
}

#[test]
fn attempt_is_reserved_only_if_every_code_has_one() {
    assert!(check_reserved(Some(&2), 2).is_ok());
    for rows in [Some(&1), Some(&3), None] {
        assert!(matches!(check_reserved(rows, 2), Err(Error::Unavailable(_))), "{rows:?}");
    }
}
