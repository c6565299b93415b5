//! The way in: password and code of the same registration make a user.

use shared::message::{Envelope, Kind, Message};
use uuid::Uuid;

use crate::{
    App, chance,
    claim::{self, Claim},
    domain::policy::Standing,
    refusal::Refusal,
    store::{
        self, Transaction, codes, outbox,
        registrations::{self, Registration},
        users::{self, User},
    },
};

pub(crate) async fn activate(app: &App, claim: &Claim, guess: &str) -> Result<User, Refusal> {
    let proved = claim::prove(app, claim).await?;
    let counted = count_attempt(app, claim, &proved).await?;
    let right = |one: &&Registration| one.code.is(guess, app.ring.get(&one.code.key_id));
    match counted.iter().find(right) {
        Some(right) => admit(app, claim, right).await,
        None => Err(Refusal::WrongCode { attempts_left: attempts_left_of(&counted) }),
    }
}

/// Takes a try from every code that the guess will be compared with, and commits: only what was
/// counted is compared, so no crash and no rollback gives a try back.
async fn count_attempt(app: &App, claim: &Claim, proved: &[Registration]) -> Result<Vec<Registration>, Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    store::lock(&transaction, &app.address_key(&claim.email)).await?;
    let mut current = registrations::by_ids(&transaction, &ids(proved)).await?;
    let Some(newest) = current.first().cloned() else { return Err(Refusal::Unauthenticated) };
    current.retain(|one| claim::check_open(app, one).is_ok() && one.code.standing(one.now) == Standing::Live);
    if current.is_empty() {
        return Err(why_not(app, &newest));
    }
    let live: Vec<_> = current.iter().map(|one| one.code.id).collect();
    let counted = codes::count_attempt(&transaction, &live).await?;
    transaction.commit().await?;
    current.retain(|one| counted.contains(&one.code.id));
    for one in &mut current {
        one.code.attempts += 1;
    }
    Ok(current)
}

/// Nothing could be compared: what the newest registration lacks is the answer.
fn why_not(app: &App, newest: &Registration) -> Refusal {
    if let Err(refusal) = claim::check_open(app, newest) {
        return refusal;
    }
    match newest.code.standing(newest.now) {
        Standing::Exhausted => Refusal::CodeExhausted,
        Standing::Waiting if !newest.dropped && !newest.undeliverable => {
            Refusal::CodeNotSent { attempts_left: newest.code.attempts_left() }
        }
        Standing::Waiting | Standing::Expired | Standing::Live => Refusal::CodeExpired,
    }
}

/// The code was right and the try counted. Whoever gets here first for an address has the account.
async fn admit(app: &App, claim: &Claim, right: &Registration) -> Result<User, Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    store::lock(&transaction, &app.address_key(&claim.email)).await?;
    let winner = registrations::by_ids(&transaction, &[right.id]).await?.pop().ok_or(Refusal::Unauthenticated)?;
    claim::check_open(app, &winner)?;
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
    greet(&transaction, &user, claim).await?;
    transaction.commit().await?;
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

fn attempts_left_of(counted: &[Registration]) -> u8 {
    counted.first().map_or(0, |newest| newest.code.attempts_left())
}
