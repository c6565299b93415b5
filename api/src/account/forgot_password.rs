//! Somebody forgot a password, or says so: a code is mailed, or that there is no account; who asked cannot tell which.

use i18n::Language;
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        email::EmailAddress,
        network::Network,
        policy::{CodePurpose, CodeStatus},
    },
    error::Error,
    registration::issue_code::{self, CodeRequest},
    rng,
    store::{
        resets::{self, Reset},
        transaction::{Commit, Transaction, Writes},
    },
};

pub(crate) struct ForgotPassword {
    pub(crate) email: EmailAddress,
    pub(crate) language: Language,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

/// EventKind the holder of a receipt may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Queued,
    Sent,
    Expired,
    Undeliverable,
    Used,
}

/// Nothing is asked that depends on whether there is an account, and nothing is written that does.
pub(crate) async fn forgot(app: &App, wish: &ForgotPassword) -> Result<Reset, Error> {
    let (keys, guessed) = (app.keys(&wish.email, wish.network), app.reset_name(&wish.email));
    let (wanted, guessed) = (CodePurpose::Reset, &guessed);
    let order = CodeRequest { email: &wish.email, keys: &keys, wanted, guessed, traceparent: &wish.traceparent };

    app.rejections.check(&keys)?;
    let connection = app.store.connection().await?;
    // Whoever is refused has kept nobody waiting for the address.
    issue_code::judge(app, &issue_code::used(&connection, &order).await?, &order)?;
    // As when somebody registers: a network waits for itself where networks have a limit.
    let network = app.policy.registrations_from.as_ref().map(|_| &keys.network);
    let locks: Vec<_> = std::iter::once(&keys.address).chain(network).collect();
    let reading = issue_code::read(&connection, &order);
    let (transaction, facts) = Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    issue_code::judge(app, &facts.used, &order)?;
    let (id, now) = (rng::id(), facts.used.now);
    let reset = Reset {
        id,
        email: wish.email.clone(),
        user: facts.account(),
        language: facts.language(wish.language),
        created_at: now,
        used_at: None,
        closed_at: None,
        undeliverable: false,
        dropped: false,
        code: issue_code::make(app, &facts, wanted, id),
        now,
    };
    let mut writes = Writes::default();
    resets::insert(&mut writes, &reset, app.policy.reset_ttl);
    issue_code::write(app, &mut writes, &order, &facts, reset.code.id);
    transaction.commit(writes).await?;
    app.metrics.minted(wanted, reset.code.length);
    app.wake_relay();
    Ok(reset)
}

pub(crate) async fn read(app: &App, receipt: Uuid) -> Result<Reset, Error> {
    let connection = app.store.connection().await?;
    resets::by_id(&connection, receipt).await?.ok_or(Error::NotFound)
}

pub(crate) fn status(reset: &Reset) -> Status {
    if reset.used_at.is_some() {
        return Status::Used;
    }
    if reset.undeliverable {
        return Status::Undeliverable;
    }
    match reset.code.standing(reset.now) {
        CodeStatus::Waiting if reset.dropped => Status::Expired,
        CodeStatus::Waiting => Status::Queued,
        CodeStatus::Live => Status::Sent,
        CodeStatus::Expired | CodeStatus::Exhausted => Status::Expired,
    }
}
