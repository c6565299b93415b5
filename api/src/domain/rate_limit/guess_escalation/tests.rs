//! The rules at their edges.

use super::*;
use time::macros::datetime;

const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn wrong(wrong: u32) -> GuessRecord {
    GuessRecord { wrong, last_at: Some(T0) }
}

fn length(record: &GuessRecord, spent: &[(u8, u32)]) -> u8 {
    let spent: Vec<_> = spent.iter().map(|&(length, wrong)| GuessTotals { length, wrong }).collect();
    GuessLimits::new(4, true).length(record, &spent, T0)
}

#[test]
fn nine_wrong_guesses_make_longer_codes_and_nine_more_still_longer_ones() {
    let lengths = [0, 8, 9, 17, 18, 1_000].map(|guesses| length(&wrong(guesses), &[]));
    assert_eq!(lengths, [4, 4, 6, 6, 8, 8]);
}

#[test]
fn a_year_of_quiet_forgets() {
    let guesses = GuessLimits::new(4, true);
    assert_eq!(guesses.length(&wrong(9), &[], T0 + QUIET - Duration::SECOND), 6);
    assert_eq!(guesses.length(&wrong(9), &[], T0 + QUIET), 4);
    assert_eq!(GuessRecord::default().wrong_at(T0), 0);
}

#[test]
fn what_everybody_guesses_counts_for_everybody() {
    assert_eq!(length(&wrong(0), &[(4, 199)]), 4);
    assert_eq!(length(&wrong(0), &[(4, 200), (6, 1_999)]), 6);
    assert_eq!(length(&wrong(0), &[(4, 200), (6, 2_000), (8, 9_999_999)]), 8);
    assert_eq!(length(&wrong(9), &[(6, 2_000)]), 8, "its own step is spent by everybody");
    assert_eq!(length(&wrong(0), &[(6, 2_000)]), 4, "while the shorter length is not");
}

#[test]
fn no_guess_is_compared_with_more_codes_than_the_step_has_left() {
    let room = |guesses| GuessLimits::new(4, true).room(&wrong(guesses), T0);
    assert_eq!([0, 1, 8, 9, 17].map(room), [9, 8, 1, 9, 1]);
    assert_eq!(room(18), u32::MAX);
}

#[test]
fn without_longer_codes_there_is_an_end() {
    let strict = GuessLimits::new(4, false);
    assert_eq!([0, 14, 15, 16].map(|guesses| strict.room(&wrong(guesses), T0)), [15, 1, 0, 0]);
    assert_eq!(strict.length(&wrong(15), &[GuessTotals { length: 4, wrong: 1_000 }], T0), 4);
    assert_eq!(strict.room(&wrong(15), T0 + QUIET), 15);
}

#[test]
fn a_longer_code_to_begin_with_has_fewer_steps() {
    let ladder = |length| GuessLimits::new(length, true).ladder().to_vec();
    assert_eq!((ladder(4), ladder(5), ladder(6)), (vec![4, 6, 8], vec![5, 6, 8], vec![6, 8]));
    assert_eq!((ladder(7), ladder(8), ladder(10)), (vec![7, 8], vec![8], vec![10]));
    let budgets: Vec<_> = GuessLimits::new(4, true).instance_budgets().collect();
    assert_eq!(budgets, [(4, 200), (6, 2_000)]);
}

#[test]
fn the_bound_is_what_is_promised() {
    // 9 at 4 digits, 9 at 6, and for the rest of the year 10 mails a day at 8: 0.09 % and a little.
    let bound = GuessLimits::new(4, true).bound(3_650, 3);
    assert!((bound - (9e-4 + 9e-6 + 1.095e-4)).abs() < 1e-12, "{bound}");
    let strict = GuessLimits::new(4, false).bound(3_650, 3);
    assert!((strict - 15e-4).abs() < 1e-12, "{strict}");
}
