//! Unlock links: the owner of a locked account is mailed a link that lets one browser in for a day, whatever attackers
//! do elsewhere.
//!
//! Email addresses without an account behave alike: the same mail is sent, and its link has the same effect.

use futures_util::future::try_join3;
use i18n::Language;
use shared::messages::{Envelope, MailKind, Message};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        email::EmailAddress, mail_suppression, outbox_message::OutboxMessage, policy::UNLOCK_TTL, session::Token,
        subject_keys::SubjectKeys,
    },
    error::Error,
    rng,
    store::{
        Connection, PgError,
        lockouts::unlocks::{self, NewUnlock, Unlock},
        mail_suppressions, outbox,
        rate_limits::{self, LimitKind},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// The account that an attempt is for, and the request that makes it.
pub(crate) struct Target<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) keys: &'a SubjectKeys,
    pub(crate) traceparent: &'a str,
}

/// Mails a link, unless one was mailed within a day. That is counted for the account; where there is none, for the
/// mailbox, because addresses with other tags cost an attacker nothing.
pub(crate) async fn mail_link(app: &App, target: &Target<'_>) -> Result<(), Error> {
    let &Target { email, keys, traceparent } = target;
    let connection = app.store.connection().await?;
    // Most requests are rejected here, without the lock.
    let (account, mailed, _) = read_facts(&connection, target).await?;
    if mailed.is_recent(account.as_ref()) {
        return Ok(());
    }
    let reading = read_facts(&connection, target);
    let (transaction, (account, mailed, muted_until)) =
        Transaction::begin(&connection, Commit::Durable, &[&keys.mailbox], reading).await?;
    if mailed.is_recent(account.as_ref()) {
        return Ok(());
    }
    let now = mailed.now;
    let is_muted = mail_suppression::active_until(muted_until, now).is_some();
    let message = Message { kind: MailKind::Unlock, id: rng::id() };
    let unlock = NewUnlock {
        id: message.id,
        email,
        address: &keys.email,
        language: account.as_ref().map_or(Language::of_tag(""), |account| account.language),
        is_muted: is_muted && account.is_none(),
    };
    let mut writes = Writes::default();
    unlocks::insert(&mut writes, unlock, now);
    let subject = if account.is_some() { &keys.email } else { &keys.mailbox };
    rate_limits::write(&mut writes, subject, LimitKind::UnlockLinks, vec![now]);
    outbox::insert(&mut writes, OutboxMessage::Mail(Envelope { message, traceparent: Some(traceparent.to_owned()) }));
    transaction.commit(writes).await?;
    app.wake_relay();
    Ok(())
}

/// When links were mailed.
struct MailedLinks {
    for_account: Option<OffsetDateTime>,
    for_mailbox: Option<OffsetDateTime>,
    now: OffsetDateTime,
}

impl MailedLinks {
    fn is_recent(&self, account: Option<&User>) -> bool {
        let last = if account.is_some() { self.for_account } else { self.for_mailbox };
        last.is_some_and(|last| self.now < last + UNLOCK_TTL)
    }
}

async fn read_facts(
    connection: &Connection,
    target: &Target<'_>,
) -> Result<(Option<User>, MailedLinks, Option<OffsetDateTime>), PgError> {
    let keys = target.keys;
    let links = [(&keys.email, LimitKind::UnlockLinks), (&keys.mailbox, LimitKind::UnlockLinks)];
    let (account, ([for_account, for_mailbox], now), muted_until) = try_join3(
        users::by_email(connection, target.email),
        rate_limits::times_used(connection, links),
        mail_suppressions::until(connection, &keys.mailbox),
    )
    .await?;
    let mailed =
        MailedLinks { for_account: for_account.last().copied(), for_mailbox: for_mailbox.last().copied(), now };
    Ok((account, mailed, muted_until))
}

/// What a link can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    Valid,
    /// It was used, or is a day old.
    Ended,
}

/// Reads the status of a link, and the language of its mail. Changes nothing, because mail scanners follow links.
pub(crate) async fn read_status(app: &App, id: Uuid) -> Result<(Language, LinkStatus), Error> {
    let connection = app.store.connection().await?;
    let unlock = unlocks::by_id(&connection, id).await?.ok_or(Error::NotFound)?;
    let is_valid = unlock.opened_at.is_none() && unlock.now < unlock.created_at + UNLOCK_TTL;
    Ok((unlock.language, if is_valid { LinkStatus::Valid } else { LinkStatus::Ended }))
}

/// Uses a link: returns the cookie that lets the browser in; `None` if the link has ended.
pub(crate) async fn open(app: &App, id: Uuid) -> Result<(Language, Option<Token>), Error> {
    let connection = app.store.connection().await?;
    let reading = unlocks::by_id(&connection, id);
    let (transaction, unlock) = Transaction::begin(&connection, Commit::Durable, &[], reading).await?;
    let Unlock { language, now, .. } = unlock.ok_or(Error::NotFound)?;
    let cookie = Token::new(rng::bits());
    let mut writes = Writes::default();
    unlocks::open(&mut writes, id, cookie.hash(), now, now - UNLOCK_TTL);
    let opened = transaction.commit(writes).await?;
    Ok((language, (opened == [1]).then_some(cookie)))
}
