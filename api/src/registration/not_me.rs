//! "It was not me": the owner of a mailbox suppresses the mails that strangers cause, or allows them again.

use futures_util::future::try_join3;
use i18n::Language;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::mail_suppression::{self, SUPPRESSION_PERIOD},
    error::Error,
    store::{
        guesses,
        mail_suppressions::{self, Receiver},
        registrations,
        transaction::{Commit, Transaction, Writes},
    },
};

/// Whether mails to the email address that a link was mailed to are suppressed.
pub(crate) struct SuppressionStatus {
    /// The language of the mail.
    pub(crate) language: Language,
    pub(crate) suppressed_until: Option<OffsetDateTime>,
}

/// What the holder of a link can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Suppress,
    Lift,
}

/// Reads the status for the link of a mail. Changes nothing, because mail scanners follow links.
pub(crate) async fn read_status(app: &App, message_id: Uuid) -> Result<SuppressionStatus, Error> {
    let connection = app.store.connection().await?;
    let receiver = mail_suppressions::receiver(&connection, message_id).await?.ok_or(Error::NotFound)?;
    let until = mail_suppressions::until(&connection, &app.mailbox_key(&receiver.email)).await?;
    let suppressed_until = mail_suppression::active_until(until, receiver.now);
    Ok(SuppressionStatus { language: receiver.language, suppressed_until })
}

/// Suppresses mails, or allows them again. Idempotent. Does not affect an account of the email address.
pub(crate) async fn change(app: &App, message_id: Uuid, action: Action) -> Result<SuppressionStatus, Error> {
    let connection = app.store.connection().await?;
    let receiver = mail_suppressions::receiver(&connection, message_id).await?.ok_or(Error::NotFound)?;
    let (email_key, mailbox_key) = (app.email_key(&receiver.email), app.mailbox_key(&receiver.email));
    let reading = try_join3(
        mail_suppressions::receiver(&connection, message_id),
        mail_suppressions::until(&connection, &mailbox_key),
        guesses::read(&connection, &email_key),
    );
    let (transaction, (receiver, until, ledger)) =
        Transaction::begin(&connection, Commit::Durable, &[&mailbox_key], reading).await?;
    // What the mail was about may have been deleted while this request waited for the lock.
    let receiver = receiver.ok_or(Error::NotFound)?;
    let now = ledger.now;
    let running_until = mail_suppression::active_until(until, now);
    let mut writes = Writes::default();
    let suppressed_until = match (action, running_until) {
        (Action::Suppress, None) => {
            if let Some(record) = mail_suppression::escalated_record(&app.policy.guesses, &ledger.record, now) {
                guesses::write(&mut writes, &email_key, &record, now);
            }
            Some(suppress(&mut writes, &receiver, &mailbox_key, now))
        }
        (Action::Suppress, Some(_)) => running_until,
        (Action::Lift, _) => {
            mail_suppressions::lift(&mut writes, &mailbox_key);
            None
        }
    };
    transaction.commit(writes).await?;
    Ok(SuppressionStatus { language: receiver.language, suppressed_until })
}

/// Closes all open registrations of the email address, since the owner of the mailbox decides about all of them, and
/// suppresses further mails. Returns until when.
fn suppress<'a>(
    writes: &mut Writes<'a>,
    receiver: &'a Receiver,
    mailbox_key: &'a [u8; 32],
    now: OffsetDateTime,
) -> OffsetDateTime {
    let until = now + SUPPRESSION_PERIOD;
    registrations::close_open_of(writes, &receiver.email, now);
    mail_suppressions::set(writes, mailbox_key, until);
    until
}
