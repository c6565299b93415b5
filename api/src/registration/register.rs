//! Registers an email address. The response does not depend on whether the address is known.

use std::{future::ready, pin::pin};

use futures_util::future::{Either, select, try_join};
use i18n::Language;

use crate::{
    app::App,
    auth::{
        attempt_refusals::Refusals,
        password_attempt::{AttemptOutcome, PasswordAttempt},
        unlock::Target,
    },
    domain::receipt::Receipt,
    domain::{
        client::Client,
        email::EmailAddress,
        password::{Password, computed_hash::ComputedHash, recipe::Recipe},
        policy::{CodePurpose, IDEMPOTENCY_TTL},
        subject_keys::SubjectKeys,
    },
    error::Error,
    outbox::events::EventDetails,
    password_hashing::{HashPermit, Priority},
    registration::{
        issue_code::{self, CodeRequest},
        receipt,
    },
    rng,
    store::{
        self, codes, passwords,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

/// A request to register.
pub(crate) struct RegisterRequest {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) language: Language,
    pub(crate) client: Client,
    pub(crate) traceparent: String,
}

/// What is known about a request before the password is hashed.
enum Precheck {
    /// A new registration, whose password is to be hashed with this recipe.
    New(Recipe),
    /// A retry: the registration that was created with this idempotency key, while the key is remembered.
    Retry(Box<Registration>),
}

/// Creates a registration with its code and mail, or returns the receipt of the one that was created with the same
/// idempotency key.
pub(crate) async fn register(app: &App, request: &RegisterRequest) -> Result<Receipt, Error> {
    let keys = app.subject_keys(&request.email, request.client);
    // Before the permit, because it can take a second; and before anything is read about the email address.
    app.breached_passwords.check(&request.password, "password").await?;
    // Before everything that costs: an overload must cost nothing.
    let permit = app.hash_pool.reserve(request.client.network, Priority::Low)?;
    let recipe = match precheck(app, request, &keys).await? {
        Precheck::New(recipe) => recipe,
        Precheck::Retry(original) => return Box::pin(retry(app, request, &keys, &original, permit)).await,
    };
    let computed = permit.hash(request.password.clone(), recipe).await?;
    match insert(app, request, &keys, &computed).await? {
        Some(receipt) => Ok(receipt),
        // A concurrent request with the same idempotency key committed first, so this one is the retry.
        None => match precheck(app, request, &keys).await? {
            Precheck::Retry(original) => replay(app, request, &original, &computed),
            Precheck::New(_) => Err(Error::IdempotencyMismatch),
        },
    }
}

/// Checks the limits, and finds the registration of the idempotency key or the recipe for the password.
async fn precheck(app: &App, request: &RegisterRequest, keys: &SubjectKeys) -> Result<Precheck, Error> {
    if request.idempotency_key.is_none() {
        app.rejection_cache.check(keys)?;
    }
    let connection = app.store.connection().await?;
    let by_key = async {
        match &request.idempotency_key {
            Some(key) => registrations::by_key(&connection, key).await,
            None => Ok(None),
        }
    };
    let code_request = code_request(request, keys);
    let hash = pin!(passwords::hash_at(&connection, &request.email, app.policy.registration_ttl));
    let limits = pin!(try_join(by_key, issue_code::read_usage(&connection, &code_request)));
    let ((original, usage), hash) = if app.rejection_cache.is_rejection_likely(keys) {
        (limits.await?, Either::Left(hash))
    } else {
        // Sent together. A rejected request does not wait for what is stored about the email address, so its response
        // time reveals nothing.
        match select(limits, hash).await {
            Either::Left((limits, hash)) => (limits?, Either::Left(hash)),
            Either::Right((hash, limits)) => (limits.await?, Either::Right(ready(hash))),
        }
    };
    if let Some(original) = original.filter(|original| original.now < original.created_at + IDEMPOTENCY_TTL) {
        return Ok(Precheck::Retry(Box::new(original)));
    }
    // Checked again under the lock; a request that would be rejected there is rejected here, before it costs a hash.
    issue_code::check_limits(app, &usage, &code_request)?;
    Ok(Precheck::New(app.recipe(&request.email, hash.await?.iter())))
}

/// Responds to a retry. Whether it is the same request is revealed only after hashing, no matter who sent the original;
/// and since that compares a password, it counts as a password attempt.
async fn retry(
    app: &App,
    request: &RegisterRequest,
    keys: &SubjectKeys,
    original: &Registration,
    permit: HashPermit,
) -> Result<Receipt, Error> {
    app.password_checks.count(request.client.network)?;
    let target = Target { email: &request.email, keys, traceparent: &request.traceparent };
    let (mut permit, mut refusals) = (permit, Refusals::default());
    let attempt = loop {
        match PasswordAttempt::reserve(app, keys).await {
            Ok(attempt) => break attempt,
            Err(error) => {
                // A request that waits for others must not hold a place in the hash queue.
                drop(permit);
                refusals.handle(app, &target, error).await?;
                permit = app.hash_pool.reserve(request.client.network, Priority::Low)?;
            }
        }
    };
    drop(refusals);
    let recipe = app.recipe(&request.email, std::iter::once(&original.password_hash));
    let computed = match permit.hash(request.password.clone(), recipe).await {
        Ok(computed) => computed,
        Err(overloaded) => {
            attempt.settle(app, AttemptOutcome::NotVerified).await?;
            return Err(overloaded.into());
        }
    };
    match replay(app, request, original, &computed) {
        Ok(receipt) => {
            attempt.settle(app, AttemptOutcome::Correct).await?;
            Ok(receipt)
        }
        Err(mismatch) => {
            attempt.fail(app).await?;
            Err(mismatch)
        }
    }
}

/// Returns the receipt of the original request, without a second mail, if email address and password are the same.
fn replay(
    app: &App,
    request: &RegisterRequest,
    original: &Registration,
    computed: &ComputedHash,
) -> Result<Receipt, Error> {
    if original.email == request.email && computed.matches(&original.password_hash) {
        app.metrics.registration_replayed();
        Ok(receipt::of(original, &app.policy))
    } else {
        Err(Error::IdempotencyMismatch)
    }
}

/// Inserts registration, code, mail and event in one transaction. `None` means that a concurrent request took the
/// idempotency key.
async fn insert(
    app: &App,
    request: &RegisterRequest,
    keys: &SubjectKeys,
    computed: &ComputedHash,
) -> Result<Option<Receipt>, Error> {
    let code_request = code_request(request, keys);
    let idempotency_key = request.idempotency_key.as_deref();
    let password_hash = computed.to_stored().map_err(Error::Internal)?;
    let connection = app.store.connection().await?;
    // Requests of one network are serialised here, but only where networks have a limit.
    let network_lock = app.policy.registrations_per_network.as_ref().map(|_| &keys.network);
    let locks: Vec<_> = std::iter::once(&keys.mailbox).chain(network_lock).collect();
    let reading = issue_code::read_facts(app, &connection, &code_request);
    let (transaction, facts) = Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    issue_code::check_limits(app, &facts.usage, &code_request)?;
    if !facts.allows_hash_of(computed) {
        return Err(Error::Unavailable(anyhow::anyhow!("the password was rehashed by a concurrent request")));
    }
    let now = facts.usage.now;
    let id = rng::id_at(now);
    let code = issue_code::generate(app, &facts, code_request.purpose, !facts.is_muted(), id);

    let mut writes = Writes::default();
    if let Some(key) = idempotency_key {
        registrations::clear_expired_key(&mut writes, key, now - IDEMPOTENCY_TTL);
    }
    let new = registrations::NewRegistration {
        id,
        email: &request.email,
        password_hash: &password_hash,
        idempotency_key,
        language: facts.language(request.language),
    };
    registrations::insert(&mut writes, &new, now);
    codes::insert(&mut writes, &code, app.policy.code_ttl, now);
    issue_code::write(app, &mut writes, &code_request, &facts, code.id);
    let details = EventDetails { email: &request.email, at: now, traceparent: &request.traceparent };
    app.events.registered(&mut writes, &details, id);
    shared::fault_points::point("register-before-commit");
    match transaction.commit(writes).await {
        Err(error) if store::violates(&error, registrations::IDEMPOTENCY_KEY_UNIQUE) => return Ok(None),
        committed => committed?,
    };
    shared::fault_points::point("register-after-commit");
    app.metrics.code_issued(code_request.purpose, code.length);
    app.wake_relay();
    Ok(Some(receipt::of(&Registration::new(&new, code, now), &app.policy)))
}

fn code_request<'a>(request: &'a RegisterRequest, keys: &'a SubjectKeys) -> CodeRequest<'a> {
    CodeRequest {
        email: &request.email,
        keys,
        purpose: CodePurpose::Registration,
        guess_key: &keys.email,
        traceparent: &request.traceparent,
    }
}
