//! Somebody wants in: a registration is appended, whoever the address belongs to.

use std::{future::ready, pin::pin};

use futures_util::future::{Either, select, try_join};
use i18n::Language;

use crate::{
    app::App,
    auth::{
        password_attempt::{self, AttemptOutcome},
        subject_keys::SubjectKeys,
    },
    domain::{
        email::EmailAddress,
        network::Network,
        password::{Password, proof::Proof, recipe::Recipe},
        policy::{CodePurpose, IDEMPOTENCY_TTL},
    },
    error::Error,
    outbox::events::{self, Occasion},
    password_hashing::{HashPermit, Priority},
    registration::{
        issue_code::{self, CodeRequest},
        receipt::{self, Receipt},
    },
    rng,
    store::{
        self, codes, passwords,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

pub(crate) struct RegisterRequest {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) language: Language,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

/// EventKind must be known before the password is hashed.
enum Looked {
    New(Recipe),
    /// The registration that this key made, while the key is remembered.
    Repeated(Box<Registration>),
}

pub(crate) async fn register(app: &App, wish: &RegisterRequest) -> Result<Receipt, Error> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Priority::RegisterRequest)?;
    let keys = app.keys(&wish.email, wish.network);
    let recipe = match look(app, wish, &keys).await? {
        Looked::New(recipe) => recipe,
        Looked::Repeated(before) => return Box::pin(repeat(app, wish, &keys, &before, place)).await,
    };
    let proof = place.prove(wish.password.clone(), recipe).await?;
    match append(app, wish, &keys, &proof).await? {
        Some(receipt) => Ok(receipt),
        // Another request with the same key committed in between: this one is its repetition.
        None => match look(app, wish, &keys).await? {
            Looked::Repeated(before) => replay(app, wish, &before, &proof),
            Looked::New(_) => Err(Error::IdempotencyMismatch),
        },
    }
}

async fn look(app: &App, wish: &RegisterRequest, keys: &SubjectKeys) -> Result<Looked, Error> {
    if wish.idempotency_key.is_none() {
        app.rejections.check(keys)?;
    }
    let connection = app.store.connection().await?;
    let by_key = async {
        match &wish.idempotency_key {
            Some(key) => registrations::by_key(&connection, key).await,
            None => Ok(None),
        }
    };
    let order = order(wish, keys);
    let hash = pin!(passwords::hash_at(&connection, &wish.email, app.policy.registration_ttl));
    let known = pin!(try_join(by_key, issue_code::used(&connection, &order)));
    let ((before, used), hash) = if app.rejections.likely(keys) {
        (known.await?, Either::Left(hash))
    } else {
        // Sent together. Who is refused does not wait for what is known of the address, and cannot time it.
        match select(known, hash).await {
            Either::Left((known, hash)) => (known?, Either::Left(hash)),
            Either::Right((hash, known)) => (known.await?, Either::Right(ready(hash))),
        }
    };
    if let Some(before) = before.filter(|before| before.now < before.created_at + IDEMPOTENCY_TTL) {
        return Ok(Looked::Repeated(Box::new(before)));
    }
    // It would be refused later: so before it costs anything.
    issue_code::judge(app, &used, &order)?;
    Ok(Looked::New(app.recipe(&wish.email, hash.await?.iter())))
}

/// Whether it is the same request is told after hashing, whoever's request it was. A password is compared
/// here, so it counts like one that is given to come in.
async fn repeat(
    app: &App,
    wish: &RegisterRequest,
    keys: &SubjectKeys,
    before: &Registration,
    place: HashPermit,
) -> Result<Receipt, Error> {
    let trial = password_attempt::take(app, keys).await?;
    let recipe = app.recipe(&wish.email, std::iter::once(&before.password_hash));
    let proof = match place.prove(wish.password.clone(), recipe).await {
        Ok(proof) => proof,
        Err(overloaded) => {
            password_attempt::settle(app, keys, &trial, AttemptOutcome::Untried).await?;
            return Err(overloaded.into());
        }
    };
    let receipt = replay(app, wish, before, &proof)?;
    password_attempt::settle(app, keys, &trial, AttemptOutcome::Right).await?;
    Ok(receipt)
}

/// The same request again has the same receipt, and no second mail.
fn replay(app: &App, wish: &RegisterRequest, before: &Registration, proof: &Proof) -> Result<Receipt, Error> {
    if before.email == wish.email && proof.matches(&before.password_hash) {
        app.metrics.repeated();
        Ok(receipt::of(before, &app.policy))
    } else {
        Err(Error::IdempotencyMismatch)
    }
}

/// Registration, code, message and event in one transaction. `None` when the key was taken meanwhile.
async fn append(
    app: &App,
    wish: &RegisterRequest,
    keys: &SubjectKeys,
    proof: &Proof,
) -> Result<Option<Receipt>, Error> {
    let (order, key) = (order(wish, keys), wish.idempotency_key.as_deref());
    let (id, password_hash) = (rng::id(), proof.to_stored().map_err(Error::Internal)?);
    let connection = app.store.connection().await?;
    // Everybody in a network waits for each other here, but only where networks have a limit.
    let network = app.policy.registrations_from.as_ref().map(|_| &keys.network);
    let locks: Vec<_> = std::iter::once(&keys.address).chain(network).collect();
    let reading = issue_code::read(&connection, &order);
    let (transaction, facts) = Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    issue_code::judge(app, &facts.used, &order)?;
    if !facts.allow(proof) {
        return Err(Error::Unavailable(anyhow::anyhow!("the hash of the account was renewed at the same moment")));
    }
    let (code, now) = (issue_code::make(app, &facts, order.wanted, id), facts.used.now);

    let mut writes = Writes::default();
    if let Some(key) = key {
        registrations::forget_key(&mut writes, key, now - IDEMPOTENCY_TTL);
    }
    let (email, password_hash, language) = (&wish.email, password_hash.as_str(), facts.language(wish.language));
    let new = registrations::New { id, email, password_hash, idempotency_key: key, language };
    registrations::insert(&mut writes, &new, now);
    codes::insert(&mut writes, &code, app.policy.code_ttl, now);
    issue_code::write(app, &mut writes, &order, &facts, code.id);
    events::registered(app, &mut writes, &Occasion { email, at: now, traceparent: &wish.traceparent }, id);
    shared::fault_points::point("register-before-commit");
    match transaction.commit(writes).await {
        Err(error) if store::violates(&error, registrations::IDEMPOTENCY_KEY_UNIQUE) => return Ok(None),
        committed => committed?,
    };
    shared::fault_points::point("register-after-commit");
    app.metrics.minted(order.wanted, code.length);
    app.wake_relay();
    Ok(Some(receipt::of(&Registration::new(&new, code, now), &app.policy)))
}

fn order<'a>(wish: &'a RegisterRequest, keys: &'a SubjectKeys) -> CodeRequest<'a> {
    let (wanted, guessed) = (CodePurpose::Registration, &keys.address);
    CodeRequest { email: &wish.email, keys, wanted, guessed, traceparent: &wish.traceparent }
}
