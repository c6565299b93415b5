//! Rate limit for the codes of registrations.
//!
//! An attempt is counted as wrong in a committed transaction *before* the submitted code is compared, and the count is on
//! disk before the result is revealed, so that no crash and no rollback gives a guess away for free. The checks at the end
//! are shared with `account/reset_attempt`.

use futures_util::future::try_join5;
use uuid::Uuid;

use crate::{
    app::App,
    auth::{
        code_status::MailedCode,
        counted_guess::{self, CountedGuess, Pauses},
        credentials::{self, Credentials, VerifiedRegistrations},
        network_guesses,
        password_attempt::{AttemptOutcome, PasswordAttempt},
    },
    domain::{
        policy::{Code, CodeStatus, RateLimited, Scope, attempts_left},
        rate_limit::{
            guess_escalation::QUIET_PERIOD,
            guess_shares::{InstanceTotals, NetworkGuesses},
        },
        subject_keys::SubjectKeys,
    },
    error::Error,
    store::{
        Connection, codes,
        guesses::{self, GuessCounts},
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

/// The registrations whose codes a guess may be compared with. It is counted as wrong for each of them already.
pub(crate) struct ReservedCodeAttempt {
    /// Newest first, at least one.
    pub(crate) registrations: Vec<Registration>,
    /// The attempts that the newest code has left if the guess is wrong.
    pub(crate) attempts_left: u8,
    pub(crate) guess: CountedGuess,
    /// The connection that has counted the guess.
    pub(crate) connection: Connection,
}

/// Takes an attempt from every code that the guess will be compared with, from their registrations, and from the limits
/// of the email address, of the network and of the instance; and commits. Settles the password attempt. Waits while
/// unsettled guesses have taken the last places.
pub(crate) async fn reserve(
    app: &App,
    credentials: &Credentials,
    keys: &SubjectKeys,
    verified: VerifiedRegistrations<'_>,
) -> Result<ReservedCodeAttempt, Error> {
    let VerifiedRegistrations { registrations, attempt } = verified;
    let mut pauses = Pauses::default();
    loop {
        match reserve_codes(app, credentials, keys, &registrations, &attempt).await {
            Err(Error::Overloaded) if pauses.take(app).await => {}
            Err(Error::Overloaded) => {
                attempt.settle(app, AttemptOutcome::Correct).await?;
                return Err(Error::Overloaded);
            }
            reserved => return attempt.ensure_settled(app, reserved).await,
        }
    }
}

/// Returns [`Error::Overloaded`], and changes nothing, if unsettled guesses have taken the last places.
async fn reserve_codes(
    app: &App,
    credentials: &Credentials,
    keys: &SubjectKeys,
    verified: &[Registration],
    password_attempt: &PasswordAttempt<'_>,
) -> Result<ReservedCodeAttempt, Error> {
    let connection = app.store.connection().await?;
    let ids = ids(verified);
    let reading = try_join5(
        registrations::by_ids(&connection, &ids),
        guesses::read(&connection, &keys.email),
        counted_guess::instance_totals(app, &connection),
        network_guesses::read(app, &connection, keys),
        password_attempt.read_lockouts(&connection),
    );
    let (transaction, (current, ledger, totals, of_network, lockouts)) =
        Transaction::begin(&connection, Commit::Asynchronous, &keys.locks(), reading).await?;
    let mut writes = Writes::default();
    // Whether the code is right or wrong, the password was right.
    password_attempt.settle_in(&mut writes, lockouts, AttemptOutcome::Correct);
    let mut comparable = match comparable_registrations(app, current, &ledger, &totals, of_network.as_ref()) {
        Ok(comparable) => comparable,
        Err(Error::Overloaded) => return Err(Error::Overloaded),
        Err(error) => {
            transaction.commit(writes).await?;
            return Err(error);
        }
    };
    let now = ledger.now;
    let codes = u32::try_from(comparable.len()).unwrap_or(u32::MAX);
    let code_update = writes.len();
    codes::count_attempt(&mut writes, comparable.iter().map(|registration| registration.code.id).collect());
    registrations::count_guess(&mut writes, self::ids(&comparable));
    let record = ledger.record.with(codes, now);
    guesses::write(&mut writes, &keys.email, &record, now);
    // This may have been the last guess allowed at codes of this length: then all of them expire with it.
    let required_length = app.policy.guesses.length(&record, &totals, now);
    codes::expire_shorter(&mut writes, &credentials.email, required_length, now);
    let shortest = shortest_code(&comparable);
    let limit = app.policy.guesses.instance_limit(shortest, totals.activations).map(|limit| (limit, &totals));
    let guess = CountedGuess::count_in(&mut writes, &keys.network, (shortest, codes), limit, now);
    let rows_updated = match transaction.commit(writes).await {
        Err(error) if counted_guess::has_no_place(&error) => return Err(Error::Overloaded),
        committed => committed?,
    };
    shared::fault_points::point("activate-after-counting");
    check_reserved(rows_updated.get(code_update), comparable.len())?;
    let attempts_left = note_guess(&mut comparable, required_length);
    Ok(ReservedCodeAttempt { registrations: comparable, attempts_left, guess, connection })
}

/// Notes the guess that was counted at these registrations, and returns the attempts that the newest code has left: none if
/// codes must be longer by now.
fn note_guess(registrations: &mut [Registration], required_length: u8) -> u8 {
    for registration in &mut *registrations {
        registration.code.attempts += 1;
        registration.guesses += 1;
    }
    let newest = registrations.first().filter(|newest| newest.code.length >= required_length);
    newest.map_or(0, |newest| attempts_left(&newest.code, newest.guesses))
}

/// Selects the registrations whose code is live and long enough, at most as many as the email address, the network and
/// the instance have guesses left.
fn comparable_registrations(
    app: &App,
    mut current: Vec<Registration>,
    ledger: &GuessCounts,
    totals: &InstanceTotals,
    of_network: Option<&NetworkGuesses>,
) -> Result<Vec<Registration>, Error> {
    let GuessCounts { record, now } = ledger;
    let newest = current.first().cloned().ok_or(Error::Unauthenticated)?;
    let required_length = app.policy.guesses.length(record, totals, *now);
    current.retain(|registration| {
        credentials::check_open(app, registration).is_ok()
            && MailedCode::from(registration).status() == CodeStatus::Live
            && registration.code.length >= required_length
    });
    let guesses_left = app.policy.guesses.guesses_left(record, *now);
    if guesses_left == 0 {
        let reset_at = record.last_at.unwrap_or(*now) + QUIET_PERIOD;
        return Err(RateLimited { scope: Scope::Address, retry_after: reset_at - *now }.into());
    }
    current.truncate(usize::try_from(guesses_left).unwrap_or(usize::MAX));
    if current.is_empty() {
        return Err(why_not_comparable(app, &newest));
    }
    let limit = app.policy.guesses.instance_limit(shortest_code(&current), totals.activations);
    let places_of_instance = limit.map_or(u32::MAX, |limit| limit.places(totals));
    let places = network_guesses::check(app, of_network)?.min(places_of_instance);
    if places == 0 {
        return Err(Error::Overloaded);
    }
    current.truncate(usize::try_from(places).unwrap_or(usize::MAX));
    current.iter().try_for_each(|registration| check_key(app, &registration.code))?;
    Ok(current)
}

/// Why no code can be compared: the state of the newest registration decides.
fn why_not_comparable(app: &App, newest: &Registration) -> Error {
    if let Err(error) = credentials::check_open(app, newest) {
        return error;
    }
    let attempts_left = attempts_left(&newest.code, newest.guesses);
    // A live code that cannot be compared is shorter than codes must be now.
    MailedCode::from(newest).check_live(attempts_left).err().unwrap_or(Error::CodeExpired)
}

fn shortest_code(registrations: &[Registration]) -> u8 {
    registrations.iter().map(|registration| registration.code.length).min().unwrap_or(u8::MAX)
}

fn ids(registrations: &[Registration]) -> Vec<Uuid> {
    registrations.iter().map(|registration| registration.id).collect()
}

/// Checks whether this API has the secret that a code was made with.
///
/// While secrets are rotated, an API that has the new one issues codes that an API with the old configuration cannot
/// compare yet. Such an attempt is not counted, and a retry may reach an API that can.
pub(crate) fn check_key(app: &App, code: &Code) -> Result<(), Error> {
    let differ = "CODE_SECRETS of this API and of another differ: the code was made with the key";
    let missing = || Error::Unavailable(anyhow::anyhow!("{differ} {}, which this API does not have", code.key_id));
    app.code_secrets.get(&code.key_id).map(drop).ok_or_else(missing)
}

/// Checks that the statement that takes the attempts has updated as many rows as there are codes.
pub(crate) fn check_reserved(rows_updated: Option<&u64>, codes: usize) -> Result<(), Error> {
    if rows_updated.copied() == u64::try_from(codes).ok() {
        return Ok(());
    }
    // Possible only where another API has another SUBJECT_KEY, and so takes another lock for this email address.
    Err(Error::Unavailable(anyhow::anyhow!("a concurrent request used the last attempts of the code")))
}

#[cfg(test)]
mod tests;
