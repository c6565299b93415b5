//! The way in: password and code of the same registration make a user.

use futures_util::future::try_join3;
use shared::messages::{Envelope, MailKind, Message};
use time::OffsetDateTime;

use crate::{
    app::App,
    auth::{
        code_attempt,
        credentials::{self, Credentials, Purpose},
        network_guesses, password_attempt,
        subject_keys::SubjectKeys,
    },
    error::Error,
    outbox::{
        delivery::OutboxMessage,
        events::{self, Occasion},
    },
    password_hashing::Priority,
    rng,
    store::{
        self, codes, guesses, outbox,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

pub(crate) async fn activate(app: &App, credentials: &Credentials, guess: &str) -> Result<User, Error> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Priority::Entering)?;
    let keys = app.keys(&credentials.email, credentials.network);
    let proved = credentials::prove(app, credentials, &keys, Purpose::Guess, place).await?;
    let counted = code_attempt::count(app, credentials, &keys, &proved).await?;
    let right = |one: &&Registration| one.code.is(guess, app.ring.get(&one.code.key_id));
    match counted.registrations.iter().find(right) {
        Some(right) => admit(app, credentials, &keys, right, counted.at).await,
        None => {
            let length = counted.registrations.iter().map(|one| one.code.length).min().unwrap_or(0);
            Err(Error::WrongCode { attempts_left: counted.attempts_left, length })
        }
    }
}

/// The code was right and the try counted. Whoever gets here first for an address has the account.
async fn admit(
    app: &App,
    credentials: &Credentials,
    keys: &SubjectKeys,
    right: &Registration,
    counted_at: OffsetDateTime,
) -> Result<User, Error> {
    let connection = app.store.connection().await?;
    let reading = try_join3(
        registrations::by_id(&connection, right.id),
        users::by_email(&connection, &credentials.email),
        network_guesses::read(&connection, keys),
    );
    let locks = [&keys.address, &keys.network];
    let (transaction, (winner, holder, (wrong, _))) =
        Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    let winner = winner.ok_or(Error::Unauthenticated)?;
    credentials::check_undecided(app, &winner)?;
    if holder.is_some() {
        return Err(Error::RegistrationClosed);
    }
    let (email, password_hash) = (winner.email.clone(), winner.password_hash.clone());
    let (activated_at, language) = (winner.now, winner.language);
    let user = User { id: rng::id(), email, password_hash, activated_at, language };

    let (mut writes, mut for_all) = (Writes::default(), Writes::default());
    users::insert(&mut writes, &user);
    registrations::activate(&mut writes, &winner, winner.now);
    codes::consume(&mut writes, right.code.id, winner.now);
    guesses::forgive(&mut writes, &keys.address);
    password_attempt::let_in(&mut writes, keys, winner.now);
    let message = Message { kind: MailKind::Activated, id: user.id };
    outbox::insert(
        &mut writes,
        OutboxMessage::Mail(Envelope { message, traceparent: Some(credentials.traceparent.clone()) }),
    );
    let occasion = Occasion { email: &user.email, at: winner.now, traceparent: &credentials.traceparent };
    events::activated(app, &mut writes, &occasion, user.id, winner.id);
    network_guesses::forgive(&mut writes, keys, wrong, counted_at);
    guesses::forgive_for_all(&mut for_all, right.code.length, counted_at);
    match transaction.commit_before(writes, for_all).await {
        Err(error) if store::violates(&error, users::EMAIL_UNIQUE) => return Err(Error::RegistrationClosed),
        // The account is there. That everybody together has one guess less is all that is lost.
        committed => drop(committed?),
    }
    shared::fault_points::point("activate-after-consuming");
    app.wake_relay();
    Ok(user)
}
