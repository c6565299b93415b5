//! Unlock links: the owner of a locked account is mailed a link that lets one browser in for a day, whatever attackers
//! do elsewhere.
//!
//! Email addresses without an account behave alike: the same mail is sent, and its link has the same effect.

use futures_util::future::try_join4;
use i18n::Language;
use shared::messages::{Envelope, MailKind, Message};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        email::EmailAddress,
        mail_suppression,
        outbox_message::OutboxMessage,
        policy::{UNLOCK_MAILS_PER_NETWORK, UNLOCK_TTL},
        rate_limit::sliding_window::SlidingWindow,
        session::Token,
        subject_keys::SubjectKeys,
    },
    error::Error,
    rng,
    store::{
        Connection, PgError,
        lockouts::unlocks::{self, NewUnlock, Unlock},
        mail_suppressions, outbox,
        rate_limits::{self, LimitKind},
        registrations,
        transaction::{Commit, Transaction, Writes},
        users,
    },
};

/// The account that an attempt is for, and the request that makes it.
pub(crate) struct Target<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) keys: &'a SubjectKeys,
    pub(crate) traceparent: &'a str,
}

/// Creates a link for the email address, and the message that has it mailed, unless there was one within a day.
///
/// Without an account or an open registration, the mailbox gets one such mail a day, whatever tags an attacker adds, a
/// network causes a limited number, and a muted mailbox gets none.
/// Only the worker sees the difference: every email address costs the same here.
pub(crate) async fn mail_link(app: &App, target: &Target<'_>) -> Result<(), Error> {
    let &Target { email, keys, traceparent } = target;
    let connection = app.store.connection().await?;
    // Most requests end here, without the lock.
    let (links, now) = read_links(&connection, keys).await?;
    if is_recent(links.of_address, now) {
        return Ok(());
    }
    let reading = try_join4(
        read_links(&connection, keys),
        users::by_email(&connection, email),
        registrations::open_of(&connection, email, app.policy.registration_ttl),
        mail_suppressions::until(&connection, &keys.mailbox),
    );
    let (transaction, ((links, now), account, open, muted_until)) =
        Transaction::begin(&connection, Commit::Durable, &keys.locks(), reading).await?;
    if is_recent(links.of_address, now) {
        return Ok(());
    }
    let recipient = Recipient {
        has_account: account.is_some(),
        has_open_registration: !open.is_empty(),
        is_muted: mail_suppression::active_until(muted_until, now).is_some(),
    };
    let per_network = SlidingWindow::new(&[UNLOCK_MAILS_PER_NETWORK]);
    let is_mailed = recipient.gets_mail(&links, &per_network, now);
    let message = Message { kind: MailKind::Unlock, id: rng::id_at(now) };
    let unlock = NewUnlock {
        id: message.id,
        email,
        address: &keys.email,
        language: account.as_ref().map_or(Language::of_tag(""), |account| account.language),
        is_muted: !is_mailed,
    };
    let mut writes = Writes::default();
    unlocks::insert(&mut writes, unlock, now);
    rate_limits::write(&mut writes, &keys.email, LimitKind::UnlockLinks, vec![now]);
    // Written in any case, so that every email address costs the same.
    let of_mailbox = if is_mailed { Some(now) } else { links.of_mailbox };
    rate_limits::write(&mut writes, &keys.mailbox, LimitKind::UnlockMails, of_mailbox.into_iter().collect());
    let of_network = if is_mailed { per_network.with(&links.of_network, now) } else { links.of_network };
    rate_limits::write(&mut writes, &keys.network, LimitKind::UnlockMails, of_network);
    outbox::insert(&mut writes, OutboxMessage::Mail(Envelope { message, traceparent: Some(traceparent.to_owned()) }));
    transaction.commit(writes).await?;
    app.wake_relay();
    Ok(())
}

/// What decides whether the link of an email address is mailed.
#[derive(Clone, Copy)]
struct Recipient {
    has_account: bool,
    has_open_registration: bool,
    /// Whether the owner of the mailbox wants no mail.
    is_muted: bool,
}

impl Recipient {
    /// Whether the link is mailed. A sign-up that is waiting for its code gets its own link, as an account does.
    fn gets_mail(self, links: &LastLinks, per_network: &SlidingWindow, now: OffsetDateTime) -> bool {
        let is_spam = is_recent(links.of_mailbox, now) || per_network.check(&links.of_network, now).is_err();
        self.has_account || !self.is_muted && (!is_spam || self.has_open_registration)
    }
}

/// Whether a link was created within a day.
fn is_recent(last: Option<OffsetDateTime>, now: OffsetDateTime) -> bool {
    last.is_some_and(|last| now < last + UNLOCK_TTL)
}

/// When the last links were created.
struct LastLinks {
    of_address: Option<OffsetDateTime>,
    of_mailbox: Option<OffsetDateTime>,
    /// Mailed because of requests from this network, oldest first.
    of_network: Vec<OffsetDateTime>,
}

/// Reads the last links, and the time of the database.
async fn read_links(connection: &Connection, keys: &SubjectKeys) -> Result<(LastLinks, OffsetDateTime), PgError> {
    let limits = [
        (&keys.email, LimitKind::UnlockLinks),
        (&keys.mailbox, LimitKind::UnlockMails),
        (&keys.network, LimitKind::UnlockMails),
    ];
    let ([of_address, of_mailbox, of_network], now) = rate_limits::times_used(connection, limits).await?;
    let (of_address, of_mailbox) = (of_address.last().copied(), of_mailbox.last().copied());
    Ok((LastLinks { of_address, of_mailbox, of_network }, now))
}

/// What a link can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    Valid,
    /// It was used, or is a day old.
    Ended,
}

impl LinkStatus {
    fn of(unlock: &Unlock) -> Self {
        let is_valid = unlock.opened_at.is_none() && unlock.now < unlock.created_at + UNLOCK_TTL;
        if is_valid { Self::Valid } else { Self::Ended }
    }
}

/// Reads the status of a link, and the language of its mail. Changes nothing, because mail scanners follow links.
pub(crate) async fn read_status(app: &App, id: Uuid) -> Result<(Language, LinkStatus), Error> {
    let connection = app.store.connection().await?;
    let unlock = unlocks::by_id(&connection, id).await?.ok_or(Error::NotFound)?;
    Ok((unlock.language, LinkStatus::of(&unlock)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, macros::datetime};

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
    const UNKNOWN: Recipient = Recipient { has_account: false, has_open_registration: false, is_muted: false };

    fn links(of_mailbox: Option<OffsetDateTime>, from_network: usize) -> LastLinks {
        LastLinks { of_address: None, of_mailbox, of_network: vec![NOW - Duration::MINUTE; from_network] }
    }

    fn gets_mail(recipient: Recipient, links: &LastLinks) -> bool {
        recipient.gets_mail(links, &SlidingWindow::new(&[UNLOCK_MAILS_PER_NETWORK]), NOW)
    }

    #[test]
    fn link_is_recent_for_exactly_a_day() {
        assert!(is_recent(Some(NOW - Duration::DAY + Duration::NANOSECOND), NOW));
        assert!(!is_recent(Some(NOW - Duration::DAY), NOW) && !is_recent(None, NOW));
    }

    #[test]
    fn accounts_always_get_their_link() {
        for is_muted in [false, true] {
            let recipient = Recipient { has_account: true, is_muted, ..UNKNOWN };
            assert!(gets_mail(recipient, &links(None, 0)) && gets_mail(recipient, &links(Some(NOW), 20)));
        }
    }

    #[test]
    fn mailbox_without_an_account_gets_one_mail_a_day() {
        assert!(gets_mail(UNKNOWN, &links(None, 19)) && gets_mail(UNKNOWN, &links(Some(NOW - Duration::DAY), 0)));
        assert!(!gets_mail(UNKNOWN, &links(Some(NOW - Duration::HOUR), 0)), "the mailbox had its mail");
        assert!(!gets_mail(UNKNOWN, &links(None, 20)), "the network has caused 20 within an hour");
    }

    #[test]
    fn open_registration_gets_its_link_unless_it_is_muted() {
        let registration = Recipient { has_open_registration: true, ..UNKNOWN };
        assert!(gets_mail(registration, &links(None, 0)) && gets_mail(registration, &links(Some(NOW), 20)));
        let muted = [registration, UNKNOWN].map(|recipient| Recipient { is_muted: true, ..recipient });
        assert!(!muted.into_iter().any(|recipient| gets_mail(recipient, &links(None, 0))));
    }

    #[test]
    fn link_is_valid_once_and_for_a_day() {
        let status = |age, opened_at| {
            LinkStatus::of(&Unlock { language: Language::of_tag(""), created_at: NOW - age, opened_at, now: NOW })
        };
        assert_eq!(status(Duration::DAY - Duration::NANOSECOND, None), LinkStatus::Valid);
        assert_eq!(status(Duration::DAY, None), LinkStatus::Ended);
        assert_eq!(status(Duration::MINUTE, Some(NOW)), LinkStatus::Ended);
    }
}
