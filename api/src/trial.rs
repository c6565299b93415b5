//! The right to have a password looked at: taken as a failure before, given back when it was right.

use time::{Duration, OffsetDateTime};

use crate::{
    App,
    domain::{
        email::EmailAddress,
        lockout::Lockout,
        network::Network,
        policy::{Scope, TooMany, WRONG_PASSWORDS, WRONG_PASSWORDS_FROM},
    },
    refusal::Refusal,
    store::{
        self, Transaction,
        budgets::{self, Kind},
        lockouts,
    },
};

/// Networks that an account was entered from keep their way in for so long, whatever others do.
const REMEMBERED: Duration = Duration::days(90);

/// What was taken.
pub(crate) struct Trial {
    /// From this network.
    here: [u8; 32],
    /// From everywhere; not counted in networks that have their own way in.
    everywhere: Option<[u8; 32]>,
    at: OffsetDateTime,
}

/// How a trial ended, if not with a wrong password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The password was never looked at.
    Untried,
    /// It opens a registration.
    Right,
    /// It opens an account.
    LetIn,
}

/// `begin`, in a transaction of its own.
pub(crate) async fn take(app: &App, email: &EmailAddress, network: Network) -> Result<Trial, Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    store::lock(&transaction, &app.address_key(email)).await?;
    let trial = begin(app, &transaction, email, network).await?;
    transaction.commit().await?;
    Ok(trial)
}

/// `end`, in a transaction of its own.
pub(crate) async fn settle(app: &App, email: &EmailAddress, trial: &Trial, ending: Ending) -> Result<(), Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    store::lock(&transaction, &app.address_key(email)).await?;
    end(&transaction, trial, ending).await?;
    Ok(transaction.commit().await?)
}

/// The caller has locked the address, and commits.
pub(crate) async fn begin(
    app: &App,
    transaction: &Transaction<'_>,
    email: &EmailAddress,
    network: Network,
) -> Result<Trial, Refusal> {
    let (here, everywhere) = (app.address_at(email, network), app.address_key(email));
    let asked = [(&here, Kind::LetIn), (&here, Kind::CodesFrom)];
    let ([let_in, codes], _) = budgets::used(transaction, asked).await?;
    let ([of_network, of_address], now) = lockouts::read(transaction, [&here, &everywhere]).await?;
    // Who asked for a code from here today is not held up by what others do, either: there can be only as
    // many such networks as an address has codes.
    let known = let_in.last().is_some_and(|&last| now < last + REMEMBERED)
        || codes.last().is_some_and(|&last| now < last + Duration::DAY);
    reserve(transaction, &here, of_network, WRONG_PASSWORDS_FROM, now).await?;
    if !known {
        reserve(transaction, &everywhere, of_address, WRONG_PASSWORDS, now).await?;
    }
    Ok(Trial { here, everywhere: (!known).then_some(everywhere), at: now })
}

async fn reserve(
    transaction: &Transaction<'_>,
    subject: &[u8; 32],
    mut lockout: Lockout,
    limit: usize,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let locked = |retry_after| TooMany { scope: Scope::Account, retry_after };
    lockout.reserve(limit, now).map_err(locked)?;
    Ok(lockouts::write(transaction, subject, &lockout).await?)
}

/// Somebody came in from here. The caller has locked the address, and commits.
pub(crate) async fn let_in(
    app: &App,
    transaction: &Transaction<'_>,
    email: &EmailAddress,
    network: Network,
) -> Result<(), Refusal> {
    let here = app.address_at(email, network);
    let (_, now) = lockouts::read(transaction, [&here, &here]).await?;
    lockouts::write(transaction, &here, &Lockout::default()).await?;
    Ok(budgets::set(transaction, &here, Kind::LetIn, &[now]).await?)
}

/// The caller has locked the address, and commits.
pub(crate) async fn end(transaction: &Transaction<'_>, trial: &Trial, ending: Ending) -> Result<(), Refusal> {
    let Trial { here, everywhere, at } = trial;
    let other = everywhere.as_ref().unwrap_or(here);
    let ([mut of_network, mut of_address], now) = lockouts::read(transaction, [here, other]).await?;
    match ending {
        // Who opens a registration of his own may still be guessing the password of another's account.
        Ending::Untried | Ending::Right => of_network.give_back(WRONG_PASSWORDS_FROM, *at),
        Ending::LetIn => of_network = Lockout::default(),
    }
    lockouts::write(transaction, here, &of_network).await?;
    if let Some(everywhere) = everywhere {
        of_address.give_back(WRONG_PASSWORDS, *at);
        lockouts::write(transaction, everywhere, &of_address).await?;
    }
    if ending == Ending::LetIn {
        budgets::set(transaction, here, Kind::LetIn, &[now]).await?;
    }
    Ok(())
}
