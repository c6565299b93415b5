//! Takes a try before a guess is compared: only what was counted, and committed, is looked at.

use futures_util::future::try_join4;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    auth::{
        credentials::{self, Credentials, Proved},
        network_guesses::{self, WrongCodes},
        password_attempt::{self, AttemptOutcome},
        subject_keys::SubjectKeys,
    },
    domain::{
        policy::{Code, CodeStatus, RateLimited, Scope, attempts_left},
        rate_limit::guess_escalation::QUIET,
    },
    error::Error,
    store::{
        codes,
        guesses::{self, Ledger},
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

/// What a guess may be compared with: counted already, as if it were wrong.
pub(crate) struct Counted {
    pub(crate) registrations: Vec<Registration>,
    pub(crate) attempts_left: u8,
    pub(crate) at: OffsetDateTime,
}

/// Takes a try from every code that the guess will be compared with, from their registrations, from the
/// address, from the network and from everybody, and commits: no crash and no rollback gives a try back.
pub(crate) async fn count(
    app: &App,
    credentials: &Credentials,
    keys: &SubjectKeys,
    proved: &Proved,
) -> Result<Counted, Error> {
    let counted = take(app, credentials, keys, proved).await;
    password_attempt::settle_after(app, keys, &proved.attempt, &counted).await;
    counted
}

async fn take(app: &App, credentials: &Credentials, keys: &SubjectKeys, proved: &Proved) -> Result<Counted, Error> {
    let connection = app.store.connection().await?;
    let ids = ids(&proved.registrations);
    let reading = try_join4(
        registrations::by_ids(&connection, &ids),
        guesses::read(&connection, &keys.address),
        network_guesses::read(&connection, keys),
        password_attempt::failed(&connection, keys),
    );
    let locks = [&keys.address, &keys.network];
    let (transaction, (current, ledger, wrong, failed)) =
        Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    let (mut writes, mut for_all) = (Writes::default(), Writes::default());
    // Whatever becomes of the guess, the password was right.
    password_attempt::end(&mut writes, keys, failed, &proved.attempt, AttemptOutcome::Right);
    let mut compared = match comparable(app, current, &ledger, &wrong) {
        Ok(compared) => compared,
        Err(error) => {
            transaction.commit(writes).await?;
            return Err(error);
        }
    };
    let now = ledger.now;
    let lengths: Vec<_> = compared.iter().map(|one| one.code.length).collect();
    let tries = writes.len();
    codes::count_attempt(&mut writes, compared.iter().map(|one| one.code.id).collect());
    registrations::count_guess(&mut writes, self::ids(&compared));
    let record = ledger.record.with(u32::try_from(compared.len()).unwrap_or(u32::MAX), now);
    guesses::count(&mut writes, &keys.address, &record, now);
    // This may have been the last guess at codes of this length: then all of them end with it.
    let length = app.policy.guesses.length(&record, &ledger.spent, now);
    codes::kill_shorter(&mut writes, &credentials.email, length, now);
    network_guesses::count(app, &mut writes, keys, wrong.0, (compared.len(), now));
    guesses::count_for_all(&mut for_all, &lengths, now);
    let (counted, for_all) = transaction.commit_before(writes, for_all).await?;
    for_all?;
    shared::fault_points::point("activate-after-counting");
    if counted.get(tries).copied() != u64::try_from(compared.len()).ok() {
        // Only where another API has other secrets, and so another name for the lock.
        return Err(Error::Unavailable(anyhow::anyhow!("the last tries went to somebody else at the same moment")));
    }
    for one in &mut compared {
        one.code.attempts += 1;
        one.guesses += 1;
    }
    let newest = compared.first().filter(|newest| newest.code.length >= length);
    let attempts_left = newest.map_or(0, |newest| attempts_left(&newest.code, newest.guesses));
    Ok(Counted { registrations: compared, attempts_left, at: now })
}

/// The registrations whose code is alive and long enough, and no more of them than the address has guesses left.
fn comparable(
    app: &App,
    mut current: Vec<Registration>,
    ledger: &Ledger,
    wrong: &WrongCodes,
) -> Result<Vec<Registration>, Error> {
    let Ledger { record, spent, now } = ledger;
    let newest = current.first().cloned().ok_or(Error::Unauthenticated)?;
    let length = app.policy.guesses.length(record, spent, *now);
    let comparable = |one: &Registration| {
        credentials::check_open(app, one).is_ok()
            && one.code.standing(one.now) == CodeStatus::Live
            && one.code.length >= length
    };
    current.retain(comparable);
    let room = app.policy.guesses.room(record, *now);
    if room == 0 {
        let quiet_at = record.last_at.unwrap_or(*now) + QUIET;
        return Err(RateLimited { scope: Scope::Address, retry_after: quiet_at - *now }.into());
    }
    current.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    if current.is_empty() {
        return Err(why_not(app, &newest));
    }
    network_guesses::judge(app, wrong)?;
    current.iter().try_for_each(|one| check_key(app, &one.code))?;
    Ok(current)
}

/// While secrets are changed, an API that has the new one makes codes that another cannot compare yet: such a guess is
/// none, and who repeats it may meet the other.
pub(crate) fn check_key(app: &App, code: &Code) -> Result<(), Error> {
    let differ = "CODE_SECRETS of this API and of another differ: the code was made with the key";
    let lacks = || Error::Unavailable(anyhow::anyhow!("{differ} {}, which is not here", code.key_id));
    app.ring.get(&code.key_id).map(drop).ok_or_else(lacks)
}

/// Nothing can be compared: what the newest registration lacks is the answer.
fn why_not(app: &App, newest: &Registration) -> Error {
    if let Err(error) = credentials::check_open(app, newest) {
        return error;
    }
    match newest.code.standing(newest.now) {
        CodeStatus::Exhausted => Error::CodeExhausted,
        CodeStatus::Waiting if !newest.dropped && !newest.undeliverable => {
            Error::CodeNotSent { attempts_left: attempts_left(&newest.code, newest.guesses) }
        }
        CodeStatus::Waiting | CodeStatus::Expired | CodeStatus::Live => Error::CodeExpired,
    }
}

fn ids(registrations: &[Registration]) -> Vec<Uuid> {
    registrations.iter().map(|one| one.id).collect()
}
