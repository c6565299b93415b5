//! Tests of the origin of an attempt and of the lockouts that it counts toward.

use super::*;
use crate::domain::{rate_limit::lockout::MAX_PENDING_TIME, session::TokenHash, subject_keys::tests::keys};
use time::{Duration, macros::datetime};

pub(in crate::auth) const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const COOKIE: TokenHash = [7; 32];
const NOT_TRUSTED: TrustFacts = TrustFacts { entered_at: None, opened_at: None };

/// The keys of a client with an IPv6 address and an unlock cookie.
pub(in crate::auth) fn keys_with_cookie() -> SubjectKeys {
    SubjectKeys { unlock_cookie: Some(COOKIE), ..keys("ada@example.com", "2001:db8:1:2::3") }
}

/// What [`OriginFacts::read`] returns at [`NOW`] if these lockouts are stored.
pub(in crate::auth) fn facts<'k>(
    keys: &'k SubjectKeys,
    trust: TrustFacts,
    stored: &[(&[u8; 32], Lockout)],
) -> OriginFacts<'k> {
    let all = [Origin::UnlockedBrowser, Origin::Unknown].into_iter().flat_map(|origin| origin.lockouts(keys));
    let of = |subject: &[u8; 32]| stored.iter().find(|(stored, _)| *stored == subject);
    let read = |counted: Counted<'k>| (counted, of(counted.0).map(|(_, lockout)| lockout.clone()).unwrap_or_default());
    OriginFacts { keys, trust, lockouts: Lockouts { counted: all.map(read).collect(), overdue: 0, now: NOW } }
}

/// The facts of a client in a known network.
pub(in crate::auth) fn known_network() -> TrustFacts {
    TrustFacts { entered_at: Some(NOW - Duration::DAY), opened_at: None }
}

/// The facts of a client of which nothing is known.
pub(in crate::auth) fn not_trusted() -> TrustFacts {
    NOT_TRUSTED
}

fn unlocked_browser() -> TrustFacts {
    TrustFacts { entered_at: None, opened_at: Some(NOW - Duration::HOUR) }
}

pub(in crate::auth) fn locked() -> Lockout {
    Lockout { until: Some(NOW + Duration::MINUTE), ..Lockout::default() }
}

/// A lockout with this many attempts that were reserved at this time.
pub(in crate::auth) fn pending(attempts: usize, at: OffsetDateTime) -> Lockout {
    Lockout { pending: vec![at; attempts], ..Lockout::default() }
}

fn failed(attempts: usize) -> Lockout {
    Lockout { failures: vec![NOW - Duration::MINUTE; attempts], ..Lockout::default() }
}

fn counted(origin: Origin, keys: &SubjectKeys) -> Vec<([u8; 32], usize)> {
    origin.lockouts(keys).into_iter().map(|(subject, rule)| (*subject, rule.attempts)).collect()
}

#[test]
fn unknown_client_counts_for_its_networks_and_account() {
    let ipv4 = keys("ada@example.com", "203.0.113.7");
    assert_eq!(counted(Origin::Unknown, &ipv4), [(ipv4.email_and_network, 5), (ipv4.email, 50)]);
    let ipv6 = keys("ada@example.com", "2001:db8:1:2::3");
    let [customer, site] = ipv6.email_and_surroundings.unwrap();
    let expected = [(ipv6.email_and_network, 5), (customer, 20), (site, 50), (ipv6.email, 50)];
    assert_eq!(counted(Origin::Unknown, &ipv6), expected);
}

#[test]
fn trusted_client_counts_for_nothing_but_itself() {
    let keys = keys_with_cookie();
    assert_eq!(counted(Origin::KnownNetwork, &keys), [(keys.email_and_network, 20)]);
    assert_eq!(counted(Origin::UnlockedBrowser, &keys), [(COOKIE, 20)]);
}

#[test]
fn trust_ends_exactly_at_its_end() {
    let known = |age| TrustFacts { entered_at: Some(NOW - age), opened_at: None }.is_known_network(NOW);
    let unlocked = |age| TrustFacts { entered_at: None, opened_at: Some(NOW - age) }.is_unlocked_browser(NOW);
    assert_eq!([KNOWN_NETWORK_TTL - Duration::NANOSECOND, KNOWN_NETWORK_TTL].map(known), [true, false]);
    assert_eq!([UNLOCK_TTL - Duration::NANOSECOND, UNLOCK_TTL].map(unlocked), [true, false]);
    assert!(!NOT_TRUSTED.is_known_network(NOW) && !NOT_TRUSTED.is_unlocked_browser(NOW));
    assert!(!known_network().is_unlocked_browser(NOW) && !unlocked_browser().is_known_network(NOW));
}

fn origin(trust: TrustFacts, stored: &[(&[u8; 32], Lockout)]) -> Result<Origin, LockoutRefusal> {
    facts(&keys_with_cookie(), trust, stored).reserve().map(|(origin, _)| origin)
}

#[test]
fn locked_account_lets_only_trusted_clients_in() {
    let keys = keys_with_cookie();
    let account_locked = [(&keys.email, locked())];
    let refused = Err(LockoutRefusal::Locked(Duration::MINUTE));
    assert_eq!(origin(NOT_TRUSTED, &account_locked), refused);
    assert_eq!(origin(known_network(), &account_locked), Ok(Origin::KnownNetwork));
    assert_eq!(origin(unlocked_browser(), &account_locked), Ok(Origin::UnlockedBrowser));
    assert_eq!(origin(NOT_TRUSTED, &[]), Ok(Origin::Unknown), "a cookie alone, or none, is no trust");
}

#[test]
fn every_lockout_of_an_unknown_client_refuses_it() {
    let keys = keys_with_cookie();
    let [customer, site] = keys.email_and_surroundings.unwrap();
    for subject in [&keys.email_and_network, &customer, &site, &keys.email] {
        assert!(origin(NOT_TRUSTED, &[(subject, locked())]).is_err());
    }
    assert_eq!(origin(NOT_TRUSTED, &[(&keys.email, pending(32, NOW))]), Err(LockoutRefusal::Busy));
}

#[test]
fn locked_browser_is_treated_like_its_network() {
    let keys = keys_with_cookie();
    let browser_locked = [(&COOKIE, locked())];
    assert_eq!(origin(unlocked_browser(), &browser_locked), Ok(Origin::Unknown));
    let trust = TrustFacts { entered_at: known_network().entered_at, ..unlocked_browser() };
    assert_eq!(origin(trust, &browser_locked), Ok(Origin::KnownNetwork));
    let both_locked = [(&COOKIE, locked()), (&keys.email, locked())];
    assert!(origin(unlocked_browser(), &both_locked).is_err());
}

#[test]
fn reserved_attempt_is_pending_in_all_its_lockouts() {
    let keys = keys_with_cookie();
    let overdue = [(&keys.email, pending(3, NOW - MAX_PENDING_TIME)), (&keys.email_and_network, pending(1, NOW))];
    let (_, lockouts) = facts(&keys, NOT_TRUSTED, &overdue).reserve().unwrap();
    let pending: Vec<_> = lockouts.counted.iter().map(|(_, lockout)| lockout.pending.len()).collect();
    assert_eq!((pending, lockouts.pending(), lockouts.overdue), (vec![2, 1, 1, 1], 2, 3));
}

/// The lockouts of an unknown client, with these attempts pending since now.
fn unknown<'k>(keys: &'k SubjectKeys, stored: &[(&[u8; 32], Lockout)]) -> Lockouts<'k> {
    facts(keys, NOT_TRUSTED, stored).reserve().unwrap().1
}

#[test]
fn failure_that_locks_any_subject_is_reported() {
    let keys = keys_with_cookie();
    assert!(!unknown(&keys, &[]).fail(NOW));
    assert!(unknown(&keys, &[(&keys.email_and_network, failed(4))]).fail(NOW));
    assert!(unknown(&keys, &[(&keys.email, failed(49))]).fail(NOW));
    assert!(unknown(&keys, &[(&keys.email_and_network, failed(4)), (&keys.email, failed(49))]).fail(NOW));
}

#[test]
fn released_attempt_is_pending_nowhere() {
    let keys = keys_with_cookie();
    let mut lockouts = unknown(&keys, &[(&keys.email, failed(1))]);
    assert_eq!(lockouts.pending(), 1);
    lockouts.release(NOW);
    assert_eq!(lockouts.pending(), 0);
    assert_eq!(lockouts.counted[3].1, failed(1), "failures stay");
}

#[test]
fn only_the_lockout_of_the_origin_is_cleared() {
    let keys = keys_with_cookie();
    let mut lockouts = unknown(&keys, &[(&keys.email_and_network, failed(1)), (&keys.email, failed(2))]);
    lockouts.clear_origin();
    let failures: Vec<_> = lockouts.counted.iter().map(|(_, lockout)| lockout.failures.len()).collect();
    assert_eq!(failures, [0, 0, 0, 2]);
}

#[test]
fn all_lockouts_are_written() {
    let keys = keys_with_cookie();
    let mut writes = Writes::default();
    unknown(&keys, &[]).write(&mut writes);
    assert_eq!(writes.kinds(), ["INSERT INTO lockouts"; 4]);
}
