//! Rate limit for reset codes.
//!
//! An attempt is counted as wrong in a committed transaction *before* the submitted code is compared, and the count is on
//! disk before the result is revealed, so that no crash and no rollback gives a guess away for free.

use futures_util::future::try_join4;
use uuid::Uuid;

use crate::{
    app::App,
    auth::{
        code_attempt,
        code_status::MailedCode,
        counted_guess::{CountedGuess, Pauses},
        network_guesses,
    },
    domain::{email::EmailAddress, subject_keys::SubjectKeys},
    error::Error,
    store::{
        Connection,
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
    guess: CountedGuess,
}

impl<'k> ReservedResetAttempt<'k> {
    /// Takes an attempt from the code and from the limits of the email address, of the network and of the instance; and
    /// commits. Waits while unsettled guesses have taken the last places. Also returns the connection that has counted it.
    pub(crate) async fn reserve(
        app: &App,
        receipt: Uuid,
        email: &EmailAddress,
        keys: &'k ResetKeys,
    ) -> Result<(Self, Connection), Error> {
        let mut pauses = Pauses::default();
        loop {
            match Self::try_reserve(app, receipt, email, keys).await {
                Err(Error::Overloaded) if pauses.take(app).await => {}
                reserved => return reserved,
            }
        }
    }

    /// Returns [`Error::Overloaded`], and changes nothing, if unsettled guesses have taken the last places.
    async fn try_reserve(
        app: &App,
        receipt: Uuid,
        email: &EmailAddress,
        keys: &'k ResetKeys,
    ) -> Result<(Self, Connection), Error> {
        let ResetKeys { subjects, guess_key } = keys;
        let connection = app.store.connection().await?;
        let reading = try_join4(
            resets::by_id(&connection, receipt),
            users::by_email(&connection, email),
            guesses::read(&connection, guess_key),
            network_guesses::read(app, &connection, subjects),
        );
        let (transaction, (reset, account, ledger, of_network)) =
            Transaction::begin(&connection, Commit::Asynchronous, &subjects.locks(), reading).await?;
        let reset = reset.ok_or(Error::NotFound)?;
        check_live(&reset)?;
        if network_guesses::check(app, of_network.as_ref())? == 0 {
            return Err(Error::Overloaded);
        }
        code_attempt::check_key(app, &reset.code)?;
        let now = ledger.now;
        let mut writes = Writes::default();
        resets::count_attempt(&mut writes, reset.id);
        guesses::write(&mut writes, guess_key, &ledger.record.with(1, now), now);
        // The limit of the instance makes later codes longer, and never rejects a guess.
        let guess = CountedGuess::count_in(&mut writes, &subjects.network, (reset.code.length, 1), None, now);
        let rows_updated = transaction.commit(writes).await?;
        code_attempt::check_reserved(rows_updated.first(), 1)?;
        let attempts_left = reset.code.attempts_allowed.saturating_sub(reset.code.attempts + 1);
        Ok((Self { keys, reset, account, attempts_left, guess }, connection))
    }

    /// Releases the attempt in a transaction of its own: the code was right, but it was not used because of an
    /// overload.
    pub(crate) async fn release(&self, app: &App) -> Result<(), Error> {
        let ResetKeys { subjects, guess_key } = self.keys;
        let connection = app.store.connection().await?;
        let reading = guesses::read(&connection, guess_key);
        let (transaction, ledger) =
            Transaction::begin(&connection, Commit::Durable, &subjects.locks(), reading).await?;
        let mut writes = Writes::default();
        resets::release_attempt(&mut writes, self.reset.id);
        self.release_in(&mut writes, &ledger);
        transaction.commit(writes).await?;
        Ok(())
    }

    /// Settles the guess without releasing the attempt: it was wrong. If this fails, the client must not learn that.
    pub(crate) async fn settle_wrong(&self, connection: &Connection) -> Result<(), Error> {
        self.guess.settle_wrong(connection).await
    }

    /// Settles the guess without releasing the attempt: it was right, but the request has failed.
    pub(crate) async fn settle_right(&self, app: &App) {
        self.guess.settle_right(app).await;
    }

    /// Releases the attempt from the limits in a transaction of the caller, who holds the locks of the keys and
    /// commits `writes`.
    pub(crate) fn release_in<'w>(&'w self, writes: &mut Writes<'w>, ledger: &GuessCounts) {
        guesses::write(writes, &self.keys.guess_key, &ledger.record.without(1), ledger.now);
        self.guess.settle_right_in(writes);
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
