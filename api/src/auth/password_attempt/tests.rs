//! Tests of what a password attempt reserves and settles.

use super::*;
use crate::{
    auth::attempt_origin::{
        TrustFacts,
        tests::{NOW, facts, keys_with_cookie, known_network, locked, not_trusted, pending},
    },
    domain::{
        email::EmailAddress,
        rate_limit::lockout::{Lockout, MAX_PENDING_TIME},
    },
};
use i18n::Language;
use time::Duration;
use uuid::Uuid;

/// A reserved attempt, and the queue that gets it if it is dropped before it is settled.
fn attempt(keys: &SubjectKeys, origin: Origin) -> (PasswordAttempt<'_>, mpsc::Receiver<AbortedAttempt>) {
    let (aborted, queue) = mpsc::channel(1);
    let reservation = Reservation { origin, reserved_at: NOW };
    (PasswordAttempt { keys, reservation, is_settled: false, aborted }, queue)
}

const FAILED_AT: OffsetDateTime = NOW.saturating_sub(Duration::MINUTE);

/// Reserves an attempt after this many wrong passwords for the email address, and returns the statements.
fn reserve(trust: TrustFacts, consecutive: u32, stored: &[(&[u8; 32], Lockout)]) -> Result<Vec<String>, Error> {
    reserve_in_network(trust, consecutive, stored, vec![])
}

fn reserve_in_network(
    trust: TrustFacts,
    consecutive: u32,
    stored: &[(&[u8; 32], Lockout)],
    network: Vec<OffsetDateTime>,
) -> Result<Vec<String>, Error> {
    let keys = keys_with_cookie();
    let consecutive = GuessRecord { wrong: consecutive, last_at: Some(FAILED_AT) };
    let limits = AttemptLimits { origin: facts(&keys, trust, stored), consecutive, network };
    let mut writes = Writes::default();
    let _ = PasswordAttempt::reserve_in(&crate::app::tests::app(), &mut writes, &keys, limits)?;
    Ok(writes.kinds())
}

fn limit(reserved: Result<Vec<String>, Error>) -> Option<(Scope, Duration)> {
    match reserved {
        Err(Error::RateLimited(RateLimited { scope, retry_after })) => Some((scope, retry_after)),
        _ => None,
    }
}

#[test]
fn hundred_wrong_passwords_admit_only_trusted_clients() {
    assert!(reserve(not_trusted(), 99, &[]).is_ok());
    for consecutive in [100, 101, u32::MAX] {
        let refused = limit(reserve(not_trusted(), consecutive, &[]));
        assert_eq!(refused, Some((Scope::Account, Duration::DAY)), "{consecutive}");
        assert!(reserve(known_network(), consecutive, &[]).is_ok());
    }
}

#[test]
fn pending_attempts_count_toward_the_hundred() {
    let keys = keys_with_cookie();
    let attempts = |pending_attempts| [(&keys.email, pending(pending_attempts, NOW))];
    assert!(reserve(not_trusted(), 98, &attempts(1)).is_ok());
    assert!(reserve(not_trusted(), 98, &attempts(2)).is_err());
}

#[test]
fn overdue_attempts_become_wrong_passwords() {
    let keys = keys_with_cookie();
    let overdue = [(&keys.email, pending(2, NOW - MAX_PENDING_TIME))];
    let written = reserve(not_trusted(), 97, &overdue).unwrap();
    assert_eq!(written.iter().filter(|kind| *kind == "INSERT INTO guesses").count(), 1, "{written:?}");
    assert!(reserve(not_trusted(), 98, &overdue).is_err());
    assert_eq!(reserve(not_trusted(), 97, &[]).unwrap(), ["INSERT INTO lockouts"; 4]);
}

#[test]
fn network_limit_does_not_apply_to_known_networks() {
    let wrong = |passwords| vec![FAILED_AT; passwords];
    assert!(reserve_in_network(not_trusted(), 0, &[], wrong(99)).is_ok());
    let refused = limit(reserve_in_network(not_trusted(), 0, &[], wrong(100)));
    assert_eq!(refused, Some((Scope::Network, Duration::minutes(14))));
    assert!(reserve_in_network(known_network(), 0, &[], wrong(100)).is_ok());
}

#[test]
fn lockout_is_a_limit_and_pending_attempts_are_an_overload() {
    let keys = keys_with_cookie();
    let refused = limit(reserve(not_trusted(), 0, &[(&keys.email, locked())]));
    assert_eq!(refused, Some((Scope::Account, Duration::MINUTE)));
    let busy = reserve(not_trusted(), 0, &[(&keys.email_and_network, pending(5, NOW))]);
    assert!(matches!(busy, Err(Error::Overloaded)));
}

/// Settles an attempt of this origin, and returns the statements.
fn settle(origin: Origin, outcome: AttemptOutcome) -> Vec<String> {
    let keys = keys_with_cookie();
    let failures = Lockout { failures: vec![FAILED_AT], ..pending(1, NOW) };
    let stored = [(&keys.email_and_network, failures.clone()), (&keys.email, failures)];
    let trust = if origin == Origin::Unknown { not_trusted() } else { known_network() };
    let lockouts = facts(&keys, trust, &stored).reserve().unwrap().1;
    let mut writes = Writes::default();
    attempt(&keys, origin).0.settle_in(&mut writes, lockouts, outcome);
    writes.kinds()
}

#[test]
fn password_of_a_registration_forgets_no_failures() {
    for outcome in [AttemptOutcome::Correct, AttemptOutcome::NotVerified] {
        assert_eq!(settle(Origin::KnownNetwork, outcome), ["INSERT INTO lockouts"]);
    }
}

#[test]
fn password_of_the_account_makes_its_network_known() {
    let known = ["DELETE FROM guesses", "INSERT INTO known_networks"];
    let settled = settle(Origin::KnownNetwork, AttemptOutcome::CorrectForAccount);
    assert_eq!(settled[..2], known);
    assert_eq!(settled[2..], ["INSERT INTO lockouts"], "another attempt is still pending");
    let settled = settle(Origin::UnlockedBrowser, AttemptOutcome::CorrectForAccount);
    assert_eq!(settled[..3], [known[0], known[1], "DELETE FROM lockouts"], "what others tried in its network");
}

#[test]
fn entering_by_a_code_makes_the_network_known() {
    let keys = keys_with_cookie();
    let mut writes = Writes::default();
    mark_network_known(&mut writes, &keys, NOW);
    assert_eq!(writes.kinds(), ["DELETE FROM lockouts", "DELETE FROM guesses", "INSERT INTO known_networks"]);
}

/// An attempt is never taken as reserved, settled or failed if that is not committed.
#[tokio::test]
async fn attempt_without_postgres_is_an_error() {
    let (app, keys) = (crate::app::tests::app(), keys_with_cookie());
    let attempt = || attempt(&keys, Origin::Unknown).0;
    assert!(matches!(PasswordAttempt::reserve(&app, &keys).await, Err(Error::Unavailable(_))));
    assert!(matches!(attempt().settle(&app, AttemptOutcome::Correct).await, Err(Error::Unavailable(_))));
    let user = User {
        id: Uuid::nil(),
        email: EmailAddress::parse("ada@example.com").unwrap(),
        password_hash: String::new(),
        activated_at: NOW,
        language: Language::English,
    };
    assert!(matches!(attempt().settle_for_account(&app, &user).await, Err(Error::Unavailable(_))));
    assert!(matches!(attempt().fail(&app).await, Err(Error::Unavailable(_))));
}

/// Whether an attempt that was settled with this result is counted as aborted.
async fn is_aborted_after(result: Result<(), Error>) -> bool {
    let (app, keys) = (crate::app::tests::app(), keys_with_cookie());
    let (attempt, mut queue) = attempt(&keys, Origin::Unknown);
    let _ = attempt.ensure_settled(&app, result).await;
    queue.try_recv().is_ok()
}

#[tokio::test]
async fn only_an_attempt_that_is_not_settled_is_counted_as_aborted() {
    let keys = keys_with_cookie();
    let (attempt, mut queue) = attempt(&keys, Origin::Unknown);
    assert!(queue.try_recv().is_err());
    drop(attempt);
    assert!(queue.try_recv().is_ok());
    assert!(!is_aborted_after(Ok(())).await);
    assert!(!is_aborted_after(Err(Error::Unauthenticated)).await, "it was settled anew, or tried to be");
}

/// Otherwise a right password would count as wrong after a moment without Postgres.
#[tokio::test]
async fn settling_is_tried_four_times_without_postgres() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://api@{}/none?sslmode=disable", listener.local_addr().unwrap());
    let (app, keys) = (crate::app::tests::app_with_database(&url), keys_with_cookie());
    let (attempt, _queue) = attempt(&keys, Origin::Unknown);
    let mut connections = 0;
    let close_all = async {
        while let Ok(connection) = listener.accept().await {
            drop(connection);
            connections += 1;
        }
    };
    tokio::select! {
        settled = attempt.settle(&app, AttemptOutcome::Correct) => assert!(settled.is_err()),
        () = close_all => {}
    }
    assert_eq!(connections, 4);
}
