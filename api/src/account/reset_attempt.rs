//! Rate limit for reset codes.
//!
//! An attempt is counted as wrong in a committed transaction *before* the submitted code is compared, so that no crash
//! and no rollback gives a guess away for free.

use futures_util::future::try_join4;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    account::reset_password::ResetKeys,
    app::App,
    auth::{code_attempt, code_status::MailedCode, network_guesses},
    domain::email::EmailAddress,
    error::Error,
    store::{
        guesses,
        resets::{self, Reset},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// The reset whose code may be compared with the submitted one. The attempt is counted as wrong already.
pub(crate) struct ReservedResetAttempt {
    pub(crate) reset: Reset,
    /// The account of the email address, if there is one. Read in either case, so that the time reveals nothing.
    pub(crate) account: Option<User>,
    /// Should the submitted code be wrong.
    pub(crate) attempts_left: u8,
    pub(crate) reserved_at: OffsetDateTime,
}

/// Takes an attempt from the code and from the limits of the email address, of the network and of the instance; and
/// commits.
pub(crate) async fn reserve(
    app: &App,
    receipt: Uuid,
    email: &EmailAddress,
    keys: &ResetKeys,
) -> Result<ReservedResetAttempt, Error> {
    let ResetKeys { subjects, guess_key } = keys;
    let connection = app.store.connection().await?;
    let reading = try_join4(
        resets::by_id(&connection, receipt),
        users::by_email(&connection, email),
        guesses::read(&connection, guess_key),
        network_guesses::read(&connection, subjects),
    );
    let (transaction, (reset, account, ledger, wrong_codes)) =
        Transaction::begin(&connection, Commit::Durable, &subjects.locks(), reading).await?;
    let reset = reset.ok_or(Error::NotFound)?;
    check_live(&reset)?;
    network_guesses::check(app, &wrong_codes)?;
    code_attempt::check_key(app, &reset.code)?;
    let now = ledger.now;
    let mut writes = Writes::default();
    resets::count_attempt(&mut writes, reset.id);
    guesses::count(&mut writes, guess_key, &ledger.record.with(1, now), now);
    network_guesses::count(app, &mut writes, subjects, wrong_codes, 1, now);
    let mut instance_writes = Writes::default();
    guesses::count_for_all(&mut instance_writes, &[reset.code.length], now);
    let (rows_updated, instance_committed) = transaction.commit_before(writes, instance_writes).await?;
    instance_committed?;
    if rows_updated.first() != Some(&1) {
        // Possible only where another API has other CODE_SECRETS, and so takes another lock for this email address.
        return Err(Error::Unavailable(anyhow::anyhow!("a concurrent request used the last attempt of this code")));
    }
    let attempts_left = reset.code.attempts_allowed.saturating_sub(reset.code.attempts + 1);
    Ok(ReservedResetAttempt { reset, account, attempts_left, reserved_at: now })
}

/// Checks whether the code can be compared. Unlike with registrations its length does not matter: a code that was issued
/// long enough stays valid.
fn check_live(reset: &Reset) -> Result<(), Error> {
    if reset.used_at.is_some() {
        return Err(Error::CodeExpired);
    }
    let attempts_left = reset.code.attempts_allowed.saturating_sub(reset.code.attempts);
    MailedCode::from(reset).check_live(attempts_left)
}
