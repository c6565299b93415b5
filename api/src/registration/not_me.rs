//! Whoever reads a code mail says that it was not them who signed up, or takes that back.

use futures_util::future::try_join3;
use i18n::Language;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::mail_suppression::{self, MUTED_FOR},
    error::Error,
    store::{
        guesses, mail_suppressions,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

/// How it stands with the address that a link was mailed to.
pub(crate) struct SuppressionStatus {
    /// That of the mail.
    pub(crate) language: Language,
    pub(crate) muted_until: Option<OffsetDateTime>,
}

/// EventKind somebody who has the link may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Mute,
    Unmute,
}

/// Changes nothing: mail scanners follow links.
pub(crate) async fn look(app: &App, code: Uuid) -> Result<SuppressionStatus, Error> {
    let connection = app.store.connection().await?;
    let about = registrations::of_code(&connection, code).await?.ok_or(Error::NotFound)?;
    let until = mail_suppressions::until(&connection, &app.address_name(&about.email)).await?;
    Ok(SuppressionStatus { language: about.language, muted_until: mail_suppression::running(until, about.now) })
}

/// The same again changes nothing more. An account that the address may have is not touched.
pub(crate) async fn change(app: &App, code: Uuid, wish: Action) -> Result<SuppressionStatus, Error> {
    let connection = app.store.connection().await?;
    let about = registrations::of_code(&connection, code).await?.ok_or(Error::NotFound)?;
    let address = app.address_name(&about.email);
    let reading = try_join3(
        registrations::of_code(&connection, code),
        mail_suppressions::until(&connection, &address),
        guesses::read(&connection, &address),
    );
    let (transaction, (about, until, ledger)) =
        Transaction::begin(&connection, Commit::Durable, &[&address], reading).await?;
    // It may have been erased while this request waited for the address.
    let about = about.ok_or(Error::NotFound)?;
    let (running, now) = (mail_suppression::running(until, ledger.now), ledger.now);
    let mut writes = Writes::default();
    let muted_until = match (wish, running) {
        (Action::Mute, None) => {
            let told = mail_suppression::told(&app.policy.guesses, &ledger.record, now);
            if let Some(record) = told {
                guesses::count(&mut writes, &address, &record, now);
            }
            Some(mute_now(&mut writes, &about, &address, now))
        }
        (Action::Mute, Some(_)) => running,
        (Action::Unmute, _) => {
            mail_suppressions::lift(&mut writes, &address);
            None
        }
    };
    transaction.commit(writes).await?;
    Ok(SuppressionStatus { language: about.language, muted_until })
}

/// Closes all that is open at the address: who owns the mailbox speaks for all of it.
fn mute_now<'a>(
    writes: &mut Writes<'a>,
    about: &'a Registration,
    address: &'a [u8; 32],
    now: OffsetDateTime,
) -> OffsetDateTime {
    let until = now + MUTED_FOR;
    registrations::close_open_of(writes, &about.email, now);
    mail_suppressions::set(writes, address, until);
    until
}
