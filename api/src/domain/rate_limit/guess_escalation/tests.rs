//! Tests of the guess escalation at its exact limits.

use super::*;
use time::macros::datetime;

const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn wrong(wrong: u32) -> GuessRecord {
    GuessRecord { wrong, last_at: Some(T0) }
}

fn length(record: &GuessRecord, totals: &[(u8, u32)]) -> u8 {
    let totals: Vec<_> = totals.iter().map(|&(length, wrong)| GuessTotals { length, wrong }).collect();
    GuessLimits::new(4, true).length(record, &totals, T0)
}

#[test]
fn every_nine_wrong_guesses_make_codes_longer() {
    let lengths = [0, 8, 9, 17, 18, 1_000].map(|guesses| length(&wrong(guesses), &[]));
    assert_eq!(lengths, [4, 4, 6, 6, 8, 8]);
}

#[test]
fn wrong_guesses_expire_after_a_quiet_year() {
    let guesses = GuessLimits::new(4, true);
    assert_eq!(guesses.length(&wrong(9), &[], T0 + QUIET_PERIOD - Duration::SECOND), 6);
    assert_eq!(guesses.length(&wrong(9), &[], T0 + QUIET_PERIOD), 4);
    assert_eq!(GuessRecord::default().wrong_at(T0), 0);
}

#[test]
fn instance_limit_makes_all_codes_longer() {
    assert_eq!(length(&wrong(0), &[(4, 199)]), 4);
    assert_eq!(length(&wrong(0), &[(4, 200), (6, 1_999)]), 6);
    assert_eq!(length(&wrong(0), &[(4, 200), (6, 2_000), (8, 9_999_999)]), 8);
    assert_eq!(length(&wrong(9), &[(6, 2_000)]), 8, "the instance limit of its own step is reached");
    assert_eq!(length(&wrong(0), &[(6, 2_000)]), 4, "the instance limit of the shorter length is not reached");
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
    assert_eq!(limits.length(&wrong(15), &[GuessTotals { length: 4, wrong: 1_000 }], T0), 4);
    assert_eq!(limits.guesses_left(&wrong(15), T0 + QUIET_PERIOD), 15);
}

#[test]
fn a_longer_initial_code_has_fewer_steps() {
    let code_lengths = |length| GuessLimits::new(length, true).code_lengths().to_vec();
    assert_eq!((code_lengths(4), code_lengths(5), code_lengths(6)), (vec![4, 6, 8], vec![5, 6, 8], vec![6, 8]));
    assert_eq!((code_lengths(7), code_lengths(8), code_lengths(10)), (vec![7, 8], vec![8], vec![10]));
    let limits: Vec<_> = GuessLimits::new(4, true).instance_limits().collect();
    assert_eq!(limits, [(4, 200), (6, 2_000)]);
}

#[test]
fn probability_bound_matches_the_documented_numbers() {
    // 9 guesses at 4 digits, 9 at 6, and for the rest of the year 10 mails a day at 8: a little more than 0.09 %.
    let bound = GuessLimits::new(4, true).probability_bound(3_650, 3);
    assert!((bound - (9e-4 + 9e-6 + 1.095e-4)).abs() < 1e-12, "{bound}");
    let strict = GuessLimits::new(4, false).probability_bound(3_650, 3);
    assert!((strict - 15e-4).abs() < 1e-12, "{strict}");
}
