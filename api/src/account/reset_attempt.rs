//! Takes a try from a reset before its code is compared: only what was counted, and committed, is looked at.

use futures_util::future::try_join4;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    account::reset_password::Subjects,
    app::App,
    auth::{code_attempt, network_guesses},
    domain::{email::EmailAddress, policy::CodeStatus},
    error::Error,
    store::{
        guesses,
        resets::{self, Reset},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// EventKind a guess may be compared with: counted already, as if it were wrong.
pub(crate) struct Counted {
    pub(crate) reset: Reset,
    /// That of the address, if it has one: read for all, so that time tells nothing.
    pub(crate) account: Option<User>,
    pub(crate) attempts_left: u8,
    pub(crate) at: OffsetDateTime,
}

/// Takes a try from the code, from the network and from everybody, and commits.
pub(crate) async fn count(
    app: &App,
    receipt: Uuid,
    email: &EmailAddress,
    Subjects { keys, guessed }: &Subjects,
) -> Result<Counted, Error> {
    let connection = app.store.connection().await?;
    let reading = try_join4(
        resets::by_id(&connection, receipt),
        users::by_email(&connection, email),
        guesses::read(&connection, guessed),
        network_guesses::read(&connection, keys),
    );
    let locks = [&keys.address, &keys.network];
    let (transaction, (reset, account, ledger, wrong)) =
        Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    let reset = reset.ok_or(Error::NotFound)?;
    check_live(&reset)?;
    network_guesses::judge(app, &wrong)?;
    code_attempt::check_key(app, &reset.code)?;
    let now = ledger.now;
    let (mut writes, mut for_all) = (Writes::default(), Writes::default());
    resets::count_attempt(&mut writes, reset.id);
    guesses::count(&mut writes, guessed, &ledger.record.with(1, now), now);
    network_guesses::count(app, &mut writes, keys, wrong.0, (1, now));
    guesses::count_for_all(&mut for_all, &[reset.code.length], now);
    let (counted, for_all) = transaction.commit_before(writes, for_all).await?;
    for_all?;
    if counted.first() != Some(&1) {
        // Only where another API has other secrets, and so another name for the lock.
        return Err(Error::Unavailable(anyhow::anyhow!("the last try went to somebody else at the same moment")));
    }
    let attempts_left = reset.code.attempts_allowed.saturating_sub(reset.code.attempts + 1);
    Ok(Counted { reset, account, attempts_left, at: now })
}

/// How long its code is does not matter here: it was long enough when it was made.
fn check_live(reset: &Reset) -> Result<(), Error> {
    if reset.used_at.is_some() {
        return Err(Error::CodeExpired);
    }
    match reset.code.standing(reset.now) {
        CodeStatus::Live => Ok(()),
        CodeStatus::Exhausted => Err(Error::CodeExhausted),
        CodeStatus::Waiting if !reset.dropped && !reset.undeliverable => {
            let attempts_left = reset.code.attempts_allowed.saturating_sub(reset.code.attempts);
            Err(Error::CodeNotSent { attempts_left })
        }
        CodeStatus::Waiting | CodeStatus::Expired => Err(Error::CodeExpired),
    }
}
