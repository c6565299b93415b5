//! Tests of the shares at their exact limits.

use super::*;
use time::macros::datetime;

const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn totals(activations: u32, guesses: &[(u8, u32)]) -> InstanceTotals {
    let guesses = guesses.iter().map(|&(length, wrong)| GuessTotals { length, wrong }).collect();
    InstanceTotals { guesses, activations, unsettled_since: None }
}

fn places(length: u8, totals: &InstanceTotals) -> Option<u32> {
    Some(InstanceLimit::of(length, totals.activations)?.places(totals))
}

#[test]
fn small_instance_exceeds_its_limit_with_21_guesses() {
    assert_eq!([0, 19, 20, 21, 22].map(|wrong| places(4, &totals(0, &[(4, wrong)]))), [21, 2, 1, 0, 0].map(Some));
    let limit = InstanceLimit::of(4, 0).unwrap();
    assert_eq!([20, 21].map(|wrong| limit.is_exceeded(&totals(0, &[(4, wrong)]))), [false, true]);
    assert_eq!(limit.max_wrong(), 21);
}

#[test]
fn instance_limit_is_six_percent_of_activations() {
    let limit = |activations| InstanceLimit::of(4, activations).unwrap().wrong;
    assert_eq!([0, 333, 349, 350, 1_000, 7_000].map(limit), [20, 20, 20, 21, 60, 420]);
    assert_eq!([60, 61].map(|wrong| places(5, &totals(1_000, &[(5, wrong)]))), [Some(1), Some(0)]);
    assert_eq!(limit(u32::MAX), 257_698_037);
}

#[test]
fn guesses_at_four_and_five_digits_share_a_limit() {
    assert_eq!(places(4, &totals(0, &[(4, 10), (5, 11), (6, 1_000), (8, 1_000)])), Some(0));
}

#[test]
fn six_digits_have_a_constant_limit_and_eight_none() {
    assert_eq!([6, 7].map(|length| places(length, &totals(1_000_000, &[(6, 1_990), (7, 10)]))), [Some(1); 2]);
    assert_eq!(places(6, &totals(0, &[(6, 2_001), (4, 1_000)])), Some(0));
    assert_eq!(places(8, &totals(0, &[(8, u32::MAX)])), None);
    assert_eq!(places(6, &totals(0, &[(6, u32::MAX), (7, u32::MAX)])), Some(0));
}

/// Never longer than a wrong guess, though activations are counted by their hour and cached for moments.
#[test]
fn activations_count_a_minute_less_than_guesses() {
    assert_eq!(GUESS_WINDOW - ACTIVATION_WINDOW, Duration::MINUTE);
}

/// What a network may still submit, after wrong guesses at one moment some time ago.
fn network_places(per_day: u32, wrong: usize, ago: Duration, activations: u32) -> Result<u32, Duration> {
    let guesses = NetworkGuesses { wrong: vec![T0 - ago; wrong], unsettled: 0, activations, now: T0 };
    NetworkGuessLimit { per_day }.places(&guesses)
}

#[test]
fn quiet_network_gets_ten_guesses_in_ten_minutes() {
    assert_eq!(network_places(30, 9, Duration::ZERO, 0), Ok(1));
    assert_eq!(network_places(30, 10, Duration::MINUTE, 0), Err(Duration::minutes(9)));
    assert_eq!(network_places(30, 10, Duration::minutes(10), 0), Ok(10));
    assert_eq!(network_places(30, 29, Duration::HOUR, 0), Ok(1));
    assert_eq!(network_places(30, 30, Duration::HOUR, 0), Err(Duration::hours(23)));
}

#[test]
fn busy_network_gets_a_tenth_of_its_activations() {
    assert_eq!(network_places(30, 39, Duration::ZERO, 400), Ok(1));
    assert_eq!(network_places(30, 40, Duration::ZERO, 400), Err(Duration::DAY));
    assert_eq!(network_places(30, 40, Duration::minutes(10), 409), Err(Duration::DAY - Duration::minutes(10)));
    assert_eq!(network_places(30, 40, Duration::minutes(10), 410), Ok(1));
}

#[test]
fn setting_changes_the_limit_of_a_day() {
    assert_eq!(network_places(5, 5, Duration::ZERO, 0), Err(Duration::DAY));
    assert_eq!(network_places(100, 90, Duration::HOUR, 0), Ok(10));
    assert_eq!([5, 30].map(|per_day| NetworkGuessLimit { per_day }.base()), [5, 10]);
}

#[test]
fn unsettled_guesses_take_places_but_reject_nothing() {
    let guesses = |unsettled| NetworkGuesses { wrong: vec![T0; 3], unsettled, activations: 0, now: T0 };
    let places = |unsettled| NetworkGuessLimit { per_day: 30 }.places(&guesses(unsettled));
    assert_eq!([0, 6, 7, 1_000].map(places), [Ok(7), Ok(1), Ok(0), Ok(0)]);
}
