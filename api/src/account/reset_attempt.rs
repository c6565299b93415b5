//! Rate limit for reset codes.
//!
//! An attempt is counted as wrong in a committed transaction *before* the submitted code is compared, so that no crash
//! and no rollback gives a guess away for free.

use futures_util::future::{try_join, try_join4};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    auth::{
        code_attempt,
        code_status::MailedCode,
        network_guesses::{self, WrongCodes},
    },
    domain::{email::EmailAddress, subject_keys::SubjectKeys},
    error::Error,
    store::{
        guesses::{self, GuessCounts},
        resets::{self, Reset},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// The keys that the limits of a reset are stored under.
pub(crate) struct ResetKeys {
    pub(crate) subjects: SubjectKeys,
    /// Counts the wrong reset codes of the email address.
    pub(crate) guess_key: [u8; 32],
}

/// The reset whose code may be compared with the submitted one. The attempt is counted as wrong already.
pub(crate) struct ReservedResetAttempt<'k> {
    keys: &'k ResetKeys,
    pub(crate) reset: Reset,
    /// The account of the email address, if there is one. Read in either case, so that the time reveals nothing.
    pub(crate) account: Option<User>,
    /// The attempts that the code has left if the submitted code is wrong.
    pub(crate) attempts_left: u8,
    reserved_at: OffsetDateTime,
}

impl<'k> ReservedResetAttempt<'k> {
    /// Takes an attempt from the code and from the limits of the email address, of the network and of the instance; and
    /// commits.
    pub(crate) async fn reserve(
        app: &App,
        receipt: Uuid,
        email: &EmailAddress,
        keys: &'k ResetKeys,
    ) -> Result<Self, Error> {
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
        guesses::write(&mut writes, guess_key, &ledger.record.with(1, now), now);
        network_guesses::count(app, &mut writes, subjects, wrong_codes, 1, now);
        let mut instance_writes = Writes::default();
        guesses::add_to_totals(&mut instance_writes, &[reset.code.length], now);
        let (rows_updated, instance_committed) = transaction.commit_then(writes, instance_writes).await?;
        instance_committed?;
        code_attempt::check_reserved(rows_updated.first(), 1)?;
        let attempts_left = reset.code.attempts_allowed.saturating_sub(reset.code.attempts + 1);
        Ok(Self { keys, reset, account, attempts_left, reserved_at: now })
    }

    /// Releases the attempt in a transaction of its own: the code was right, but it was not used because of an
    /// overload.
    pub(crate) async fn release(&self, app: &App) -> Result<(), Error> {
        let ResetKeys { subjects, guess_key } = self.keys;
        let connection = app.store.connection().await?;
        let reading = try_join(guesses::read(&connection, guess_key), network_guesses::read(&connection, subjects));
        let (transaction, (ledger, wrong_codes)) =
            Transaction::begin(&connection, Commit::Durable, &subjects.locks(), reading).await?;
        let mut writes = Writes::default();
        resets::release_attempt(&mut writes, self.reset.id);
        let instance_writes = self.release_in(&mut writes, &ledger, wrong_codes);
        drop(transaction.commit_then(writes, instance_writes).await?);
        Ok(())
    }

    /// Releases the attempt from the limits in a transaction of the caller, who holds the locks of the keys and
    /// commits `writes`. Returns what the caller writes in a second transaction after it: the limit of the instance.
    /// If that one fails, all that is lost is one guess of this limit.
    pub(crate) fn release_in<'w>(
        &'w self,
        writes: &mut Writes<'w>,
        ledger: &GuessCounts,
        wrong_codes: WrongCodes,
    ) -> Writes<'static> {
        let ResetKeys { subjects, guess_key } = self.keys;
        guesses::write(writes, guess_key, &ledger.record.without(1), wrong_codes.now);
        network_guesses::release(writes, subjects, wrong_codes, self.reserved_at);
        let mut instance_writes = Writes::default();
        guesses::subtract_from_totals(&mut instance_writes, self.reset.code.length, self.reserved_at);
        instance_writes
    }
}

/// Checks whether the code can be compared. Unlike with registrations its length does not matter: a code that was
/// issued long enough stays valid.
fn check_live(reset: &Reset) -> Result<(), Error> {
    if reset.used_at.is_some() {
        return Err(Error::CodeExpired);
    }
    let attempts_left = reset.code.attempts_allowed.saturating_sub(reset.code.attempts);
    MailedCode::from(reset).check_live(attempts_left)
}
