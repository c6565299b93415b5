//! The way in: password and code of the same registration make a user.

use shared::message::{Envelope, Kind, Message};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    App, chance,
    claim::{self, Claim},
    domain::{
        guesses::QUIET,
        policy::{Scope, Standing, TooMany, attempts_left},
    },
    guesser,
    hashing::Errand,
    refusal::Refusal,
    store::{
        self, Transaction, codes,
        guesses::{self, Ledger},
        outbox,
        registrations::{self, Registration},
        users::{self, User},
    },
    trial,
};

pub(crate) async fn activate(app: &App, claim: &Claim, guess: &str) -> Result<User, Refusal> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Errand::Entering)?;
    guesser::check(app, claim.network).await?;
    let proved = claim::prove(app, claim, place).await?;
    let counted = count_attempt(app, claim, &proved).await?;
    let right = |one: &&Registration| one.code.is(guess, app.ring.get(&one.code.key_id));
    match counted.registrations.iter().find(right) {
        Some(right) => admit(app, claim, right, counted.at).await,
        None => Err(Refusal::WrongCode { attempts_left: counted.attempts_left }),
    }
}

/// What a guess may be compared with: counted already, as if it were wrong.
struct Counted {
    registrations: Vec<Registration>,
    attempts_left: u8,
    at: OffsetDateTime,
}

/// Takes a try from every code that the guess will be compared with, from their registrations, from the
/// address and from everybody, and commits: only what was counted is compared, so no crash and no
/// rollback gives a try back.
async fn count_attempt(app: &App, claim: &Claim, proved: &[Registration]) -> Result<Counted, Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    let address = app.address_key(&claim.email);
    store::lock(&transaction, &address).await?;
    let mut current = registrations::by_ids(&transaction, &ids(proved)).await?;
    let Some(newest) = current.first().cloned() else { return Err(Refusal::Unauthenticated) };
    let ledger = guesses::read(&transaction, &address).await?;
    retain_comparable(app, &mut current, &ledger)?;
    if current.is_empty() {
        return Err(why_not(app, &newest));
    }
    let live: Vec<_> = current.iter().map(|one| one.code.id).collect();
    let counted = codes::count_attempt(&transaction, &live).await?;
    current.retain(|one| counted.contains(&one.code.id));
    registrations::count_guess(&transaction, &ids(&current)).await?;
    let lengths: Vec<_> = current.iter().map(|one| one.code.length).collect();
    let attempts_left = count_for_address(app, &transaction, claim, &ledger, &mut current).await?;
    guesser::count(app, &transaction, claim.network, lengths.len(), ledger.now).await?;
    guesses::count_for_all(&transaction, &lengths, ledger.now).await?;
    transaction.commit().await?;
    failpoint::point("activate-after-counting");
    Ok(Counted { registrations: current, attempts_left, at: ledger.now })
}

/// Leaves the registrations whose code is alive and long enough, and no more of them than the address has
/// guesses left.
fn retain_comparable(app: &App, current: &mut Vec<Registration>, ledger: &Ledger) -> Result<(), Refusal> {
    let Ledger { record, spent, now } = ledger;
    let length = app.policy.guesses.length(record, spent, *now);
    let comparable = |one: &Registration| {
        claim::check_open(app, one).is_ok() && one.code.standing(one.now) == Standing::Live && one.code.length >= length
    };
    current.retain(comparable);
    let room = app.policy.guesses.room(record, *now);
    if room == 0 {
        let quiet_at = record.last_at.unwrap_or(*now) + QUIET;
        return Err(TooMany { scope: Scope::Address, retry_after: quiet_at - *now }.into());
    }
    current.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    Ok(())
}

/// Returns how many tries the newest code has left, after this one.
async fn count_for_address(
    app: &App,
    transaction: &Transaction<'_>,
    claim: &Claim,
    ledger: &Ledger,
    current: &mut [Registration],
) -> Result<u8, Refusal> {
    let (policy, now) = (&app.policy, ledger.now);
    let record = ledger.record.with(u32::try_from(current.len()).unwrap_or(u32::MAX), now);
    guesses::count(transaction, &app.address_key(&claim.email), &record, now).await?;
    // This may have been the last guess at codes of this length: then all of them end with it.
    let length = policy.guesses.length(&record, &ledger.spent, now);
    codes::kill_shorter(transaction, &claim.email, length, now).await?;
    for one in current.iter_mut() {
        one.code.attempts += 1;
        one.guesses += 1;
    }
    let newest = current.first().filter(|newest| newest.code.length >= length);
    Ok(newest.map_or(0, |newest| attempts_left(&newest.code, newest.guesses)))
}

/// Nothing could be compared: what the newest registration lacks is the answer.
fn why_not(app: &App, newest: &Registration) -> Refusal {
    if let Err(refusal) = claim::check_open(app, newest) {
        return refusal;
    }
    match newest.code.standing(newest.now) {
        Standing::Exhausted => Refusal::CodeExhausted,
        Standing::Waiting if !newest.dropped && !newest.undeliverable => {
            Refusal::CodeNotSent { attempts_left: attempts_left(&newest.code, newest.guesses) }
        }
        Standing::Waiting | Standing::Expired | Standing::Live => Refusal::CodeExpired,
    }
}

/// The code was right and the try counted. Whoever gets here first for an address has the account.
async fn admit(app: &App, claim: &Claim, right: &Registration, counted_at: OffsetDateTime) -> Result<User, Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    let address = app.address_key(&claim.email);
    store::lock(&transaction, &address).await?;
    let winner = registrations::by_ids(&transaction, &[right.id]).await?.pop().ok_or(Refusal::Unauthenticated)?;
    claim::check_undecided(app, &winner)?;
    if users::by_email(&transaction, &claim.email).await?.is_some() {
        return Err(Refusal::RegistrationClosed);
    }
    let user = User {
        id: chance::id(),
        email: winner.email.clone(),
        password_hash: winner.password_hash.clone(),
        activated_at: winner.now,
    };
    match users::insert(&transaction, &user).await {
        Err(error) if store::violates(&error, users::EMAIL_UNIQUE) => return Err(Refusal::RegistrationClosed),
        inserted => inserted?,
    }
    registrations::activate(&transaction, &winner, winner.now).await?;
    codes::consume(&transaction, right.code.id, winner.now).await?;
    guesses::forgive(&transaction, &address).await?;
    trial::let_in(app, &transaction, &claim.email, claim.network).await?;
    greet(&transaction, &user, claim).await?;
    guesser::forgive(app, &transaction, claim.network, counted_at).await?;
    guesses::forgive_for_all(&transaction, right.code.length, counted_at).await?;
    transaction.commit().await?;
    failpoint::point("activate-after-consuming");
    app.wake_relay();
    Ok(user)
}

async fn greet(transaction: &Transaction<'_>, user: &User, claim: &Claim) -> Result<(), Refusal> {
    let message = Message { kind: Kind::Activated, id: user.id };
    Ok(outbox::insert(transaction, &Envelope { message, traceparent: Some(claim.traceparent.clone()) }).await?)
}

fn ids(registrations: &[Registration]) -> Vec<Uuid> {
    registrations.iter().map(|one| one.id).collect()
}
