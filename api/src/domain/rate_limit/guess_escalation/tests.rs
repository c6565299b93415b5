//! Tests of the guess escalation at its exact limits.

use super::*;
use crate::domain::rate_limit::guess_shares::GuessTotals;
use time::macros::datetime;

const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn wrong(wrong: u32) -> GuessRecord {
    GuessRecord { wrong, last_at: Some(T0) }
}

fn length(record: &GuessRecord, totals: &[(u8, u32)]) -> u8 {
    GuessLimits::new(4, true).length(record, &instance(0, totals), T0)
}

fn instance(activations: u32, wrong: &[(u8, u32)]) -> InstanceTotals {
    let guesses = wrong.iter().map(|&(length, wrong)| GuessTotals { length, wrong }).collect();
    InstanceTotals { guesses, activations, unsettled_since: None }
}

#[test]
fn every_nine_wrong_guesses_make_codes_longer() {
    let lengths = [0, 8, 9, 17, 18, 1_000].map(|guesses| length(&wrong(guesses), &[]));
    assert_eq!(lengths, [4, 4, 6, 6, 8, 8]);
}

#[test]
fn wrong_guesses_expire_after_a_quiet_year() {
    let guesses = GuessLimits::new(4, true);
    assert_eq!(guesses.length(&wrong(9), &instance(0, &[]), T0 + QUIET_PERIOD - Duration::SECOND), 6);
    assert_eq!(guesses.length(&wrong(9), &instance(0, &[]), T0 + QUIET_PERIOD), 4);
    assert_eq!(GuessRecord::default().wrong_at(T0), 0);
}

#[test]
fn right_guess_is_taken_back_from_the_record() {
    assert_eq!([0, 1, 9, 10].map(|less| wrong(9).without(less).wrong), [9, 8, 0, 0]);
    assert_eq!(wrong(9).without(1).last_at, Some(T0), "the quiet period goes on");
}

#[test]
fn instance_limit_makes_all_codes_longer() {
    assert_eq!(length(&wrong(0), &[(4, 20)]), 4);
    assert_eq!(length(&wrong(0), &[(4, 21), (6, 2_000)]), 6);
    assert_eq!(length(&wrong(0), &[(4, 21), (6, 2_001), (8, 9_999_999)]), 8);
    assert_eq!(length(&wrong(9), &[(6, 2_001)]), 8, "the instance limit of its own step is exceeded");
    assert_eq!(length(&wrong(0), &[(6, 2_001)]), 4, "the instance limit of the shorter length is not exceeded");
    let with_activations = |wrong| GuessLimits::new(4, true).length(&GuessRecord::default(), &wrong, T0);
    assert_eq!([60, 61].map(|wrong| with_activations(instance(1_000, &[(4, wrong)]))), [4, 6]);
}

#[test]
fn comparisons_per_guess_end_with_the_step() {
    let room = |guesses| GuessLimits::new(4, true).guesses_left(&wrong(guesses), T0);
    assert_eq!([0, 1, 8, 9, 17].map(room), [9, 8, 1, 9, 1]);
    assert_eq!(room(18), u32::MAX);
}

#[test]
fn without_escalation_guesses_are_limited_to_fifteen() {
    let limits = GuessLimits::new(4, false);
    assert_eq!([0, 14, 15, 16].map(|guesses| limits.guesses_left(&wrong(guesses), T0)), [15, 1, 0, 0]);
    assert_eq!(limits.length(&wrong(15), &instance(0, &[(4, 1_000)]), T0), 4);
    assert_eq!(limits.guesses_left(&wrong(15), T0 + QUIET_PERIOD), 15);
}

#[test]
fn address_has_a_guess_limit_unless_codes_are_longest() {
    let per_address = |length, escalates| GuessLimits::new(length, escalates).per_address();
    assert_eq!([4, 6, 7].map(|length| per_address(length, true)), [Some(9); 3]);
    assert_eq!([8, 10].map(|length| per_address(length, true)), [None; 2]);
    assert_eq!([4, 8].map(|length| per_address(length, false)), [Some(15); 2]);
}

#[test]
fn a_longer_initial_code_has_fewer_steps() {
    let code_lengths = |length| GuessLimits::new(length, true).code_lengths().to_vec();
    assert_eq!((code_lengths(4), code_lengths(5), code_lengths(6)), (vec![4, 6, 8], vec![5, 6, 8], vec![6, 8]));
    assert_eq!((code_lengths(7), code_lengths(8), code_lengths(10)), (vec![7, 8], vec![8], vec![10]));
    let limits = |length| {
        let limits = GuessLimits::new(length, true);
        limits.instance_limits().map(|(length, limit)| (length, limit.wrong)).collect::<Vec<_>>()
    };
    assert_eq!((limits(4), limits(7), limits(8)), (vec![(4, 20), (6, 2_000)], vec![(7, 2_000)], vec![]));
}

#[test]
fn probability_bound_matches_the_documented_numbers() {
    // 9 guesses at 4 digits, 9 at 6, and for the rest of the year 10 mails a day at 8: a little more than 0.09 %.
    let bound = GuessLimits::new(4, true).probability_bound(3_650, 3);
    assert!((bound - (9e-4 + 9e-6 + 1.095e-4)).abs() < 1e-12, "{bound}");
    let strict = GuessLimits::new(4, false).probability_bound(3_650, 3);
    assert!((strict - 15e-4).abs() < 1e-12, "{strict}");
}

#[test]
fn instance_bound_matches_the_documented_numbers() {
    // 21 guesses a day at 4 digits and 2,001 at 6.
    let limits = GuessLimits::new(4, true);
    assert!((limits.instance_bound().unwrap() - (0.7665 + 0.730_365)).abs() < 1e-12);
    assert!((limits.instance_bound_per_activation().unwrap() - 6e-6).abs() < 1e-18);
    assert!((limits.longest_probability() - 1e-8).abs() < 1e-20);
    let six = GuessLimits::new(6, true);
    assert!((six.instance_bound().unwrap() - 0.730_365).abs() < 1e-12);
    assert_eq!(six.instance_bound_per_activation(), None);
    assert_eq!(GuessLimits::new(8, true).instance_bound(), None);
    assert_eq!(
        GuessLimits::new(4, false).instance_bound(),
        None,
        "without escalation no limit of the instance applies"
    );
}
