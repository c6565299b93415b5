//! Somebody wants in: a registration is appended, whoever the address belongs to.

use crate::{
    App, chance,
    domain::{
        email::EmailAddress,
        network::Network,
        password::{Password, proof::Proof, recipe::Recipe},
        policy::{IDEMPOTENCY_TTL, Wanted},
    },
    hashing::{Errand, Place},
    mint::{self, Order},
    receipt::{self, Receipt},
    refusal::Refusal,
    store::{
        self,
        registrations::{self, Registration},
        users,
    },
    trial::{self, Ending},
};

pub(crate) struct Registering {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

pub(crate) async fn register(app: &App, wish: &Registering) -> Result<Receipt, Refusal> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Errand::Registering)?;
    if let Some(before) = before(app, wish).await? {
        return repeat(app, wish, &before, place).await;
    }
    let recipe = look(app, wish).await?;
    let proof = place.prove(wish.password.clone(), recipe).await?;
    match append(app, wish, &proof).await? {
        Some(receipt) => Ok(receipt),
        // Another request with the same key committed in between: this one is its repetition.
        None => {
            let before = before(app, wish).await?.ok_or(Refusal::IdempotencyMismatch)?;
            replay(app, wish, &before, &proof)
        }
    }
}

/// The registration that this key made, while the key is remembered.
async fn before(app: &App, wish: &Registering) -> Result<Option<Registration>, Refusal> {
    let Some(key) = &wish.idempotency_key else { return Ok(None) };
    let connection = app.store.connection().await?;
    let before = registrations::by_key(&connection, key).await?;
    Ok(before.filter(|before| before.now < before.created_at + IDEMPOTENCY_TTL))
}

/// Whether it is the same request is told after hashing, whoever's request it was. A password is compared
/// here, so it counts like one that is given to come in.
async fn repeat(app: &App, wish: &Registering, before: &Registration, place: Place) -> Result<Receipt, Refusal> {
    let trial = trial::take(app, &wish.email, wish.network).await?;
    let recipe = app.recipe(&wish.email, std::iter::once(&before.password_hash));
    let proof = match place.prove(wish.password.clone(), recipe).await {
        Ok(proof) => proof,
        Err(overloaded) => {
            trial::settle(app, &wish.email, &trial, Ending::Untried).await?;
            return Err(overloaded.into());
        }
    };
    let receipt = replay(app, wish, before, &proof)?;
    trial::settle(app, &wish.email, &trial, Ending::Right).await?;
    Ok(receipt)
}

/// What must be known before the password is hashed.
async fn look(app: &App, wish: &Registering) -> Result<Recipe, Refusal> {
    let connection = app.store.connection().await?;
    mint::foresee(app, &connection, &order(wish)).await?;
    let user = users::by_email(&connection, &wish.email).await?.map(|user| user.password_hash);
    let open = registrations::open_of(&connection, &wish.email, app.policy.registration_ttl).await?;
    Ok(app.recipe(&wish.email, user.iter().chain(open.iter().map(|one| &one.password_hash))))
}

/// The same request again has the same receipt, and no second mail.
fn replay(app: &App, wish: &Registering, before: &Registration, proof: &Proof) -> Result<Receipt, Refusal> {
    if before.email == wish.email && proof.matches(&before.password_hash) {
        Ok(receipt::of(before, &app.policy))
    } else {
        Err(Refusal::IdempotencyMismatch)
    }
}

/// Registration, code and message in one transaction. `None` when the key was taken meanwhile.
async fn append(app: &App, wish: &Registering, proof: &Proof) -> Result<Option<Receipt>, Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    store::lock(&transaction, &app.address_key(&wish.email)).await?;
    let grant = mint::grant(app, &transaction, &order(wish)).await?;
    let now = grant.now;
    if let Some(key) = &wish.idempotency_key {
        registrations::forget_key(&transaction, key, now - IDEMPOTENCY_TTL).await?;
    }
    let (id, password_hash) = (chance::id(), proof.to_stored().map_err(Refusal::Internal)?);
    let new = registrations::New {
        id,
        email: &wish.email,
        password_hash: &password_hash,
        idempotency_key: wish.idempotency_key.as_deref(),
    };
    match registrations::insert(&transaction, &new, now).await {
        Err(error) if store::violates(&error, registrations::IDEMPOTENCY_KEY_UNIQUE) => return Ok(None),
        inserted => inserted?,
    }
    let code = mint::mint(app, &transaction, &order(wish), id, grant).await?;
    mint::count_registration(app, &transaction, wish.network).await?;
    failpoint::point("register-before-commit");
    transaction.commit().await?;
    failpoint::point("register-after-commit");
    app.wake_relay();

    let registration = Registration {
        id,
        email: wish.email.clone(),
        password_hash,
        created_at: now,
        activated_at: None,
        closed_at: None,
        guesses: 0,
        undeliverable: false,
        dropped: false,
        code,
        now,
    };
    Ok(Some(receipt::of(&registration, &app.policy)))
}

fn order(wish: &Registering) -> Order<'_> {
    let (wanted, traceparent) = (Wanted::Registration, wish.traceparent.as_str());
    Order { email: &wish.email, network: wish.network, wanted, traceparent }
}
