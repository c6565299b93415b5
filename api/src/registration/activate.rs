//! Activation: a registration becomes an account, by its password and the code from the mail.

use futures_util::future::try_join;
use shared::messages::{Envelope, MailKind, Message};

use crate::{
    app::App,
    auth::{
        audit,
        code_attempt::{self, ReservedCodeAttempt},
        counted_guess::CountedGuess,
        credentials::{self, Credentials, Purpose},
        password_attempt,
    },
    domain::{outbox_message::OutboxMessage, subject_keys::SubjectKeys},
    error::Error,
    outbox::events::EventDetails,
    password_hashing::Priority,
    rng,
    store::{
        self, Connection, codes, guesses, outbox,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// Verifies the password and the code of a registration, and creates the account.
pub(crate) async fn activate(app: &App, credentials: &Credentials, code: &str) -> Result<User, Error> {
    // Before anything else: an overload must cost nothing.
    let permit = app.hash_pool.reserve(credentials.client.network, Priority::High)?;
    let keys = app.subject_keys(&credentials.email, credentials.client);
    let verified =
        credentials::verify_registration_password(app, credentials, &keys, Purpose::Activate, permit).await?;
    let reserved = code_attempt::reserve(app, credentials, &keys, verified).await?;
    let ReservedCodeAttempt { registrations, attempts_left, guess, connection } = reserved;
    let is_correct =
        |registration: &&Registration| registration.code.matches(code, app.code_secrets.get(&registration.code.key_id));
    match registrations.iter().find(is_correct) {
        Some(registration) => {
            let created = create_account(app, connection, credentials, &keys, registration, &guess).await;
            if created.is_err() {
                guess.settle_right(app).await;
            }
            created
        }
        None => {
            guess.settle_wrong(&connection).await?;
            audit::wrong_code(&keys);
            let lengths = registrations.iter().map(|registration| registration.code.length);
            Err(Error::WrongCode { attempts_left, length: lengths.min().unwrap_or(0) })
        }
    }
}

/// Creates the account after the right code, and settles the guess. The first request to commit gets the email address.
async fn create_account(
    app: &App,
    connection: Connection,
    credentials: &Credentials,
    keys: &SubjectKeys,
    verified: &Registration,
    guess: &CountedGuess,
) -> Result<User, Error> {
    let reading =
        try_join(registrations::by_id(&connection, verified.id), users::by_email(&connection, &credentials.email));
    let (transaction, (registration, existing_user)) =
        Transaction::begin(&connection, Commit::Durable, &keys.locks(), reading).await?;
    let registration = registration.ok_or(Error::Unauthenticated)?;
    credentials::check_open_ignoring_guesses(app, &registration)?;
    if existing_user.is_some() {
        return Err(Error::RegistrationClosed);
    }
    let now = registration.now;
    let user = User {
        id: rng::id(),
        email: registration.email.clone(),
        password_hash: registration.password_hash.clone(),
        activated_at: now,
        language: registration.language,
    };

    let mut writes = Writes::default();
    users::insert(&mut writes, &user);
    registrations::activate(&mut writes, &registration, now);
    codes::consume(&mut writes, verified.code.id, now);
    guesses::delete(&mut writes, &keys.email);
    password_attempt::mark_network_known(&mut writes, keys, now);
    let message = Message { kind: MailKind::Activated, id: user.id };
    let envelope = Envelope { message, traceparent: Some(credentials.traceparent.clone()) };
    outbox::insert(&mut writes, OutboxMessage::Mail(envelope));
    let details = EventDetails { email: &user.email, at: now, traceparent: &credentials.traceparent };
    app.events.activated(&mut writes, &details, user.id, registration.id);
    guess.settle_right_in(&mut writes);
    match transaction.commit(writes).await {
        Err(error) if store::violates(&error, users::EMAIL_UNIQUE) => return Err(Error::RegistrationClosed),
        committed => drop(committed?),
    }
    app.activation_counts.add(keys.network);
    audit::activation(user.id, keys);
    shared::fault_points::point("activate-after-consuming");
    app.wake_relay();
    Ok(user)
}
