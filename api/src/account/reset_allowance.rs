//! Resets beyond the limits that strangers can use up: a known network and an unlocked browser have some of their own,
//! and the account of a muted mailbox still gets one a day, from whatever network it is requested.

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    auth::attempt_origin::TrustFacts,
    domain::{
        policy::{MUTED_RESETS, OWN_RESETS},
        rate_limit::sliding_window::SlidingWindow,
        subject_keys::SubjectKeys,
    },
    store::{
        Connection, PgError,
        rate_limits::{self, LimitKind},
        transaction::Writes,
    },
};

/// What a client may request, at `now`.
pub(crate) struct ResetAllowance<'k> {
    /// The key of the email address.
    email: &'k [u8; 32],
    /// What a trusted client is counted under; `None` for a stranger.
    trusted: Option<&'k [u8; 32]>,
    /// When resets of its own were requested, oldest first.
    own: Vec<OffsetDateTime>,
    /// When resets were mailed although the mailbox is muted.
    muted: Vec<OffsetDateTime>,
    now: OffsetDateTime,
}

impl<'k> ResetAllowance<'k> {
    /// Reads the allowance. The caller holds the lock of the mailbox, or reads it again under the lock.
    pub(crate) async fn read(connection: &Connection, keys: &'k SubjectKeys) -> Result<Self, PgError> {
        let network = &keys.email_and_network;
        let browser = keys.unlock_cookie.as_ref().unwrap_or(network);
        let limits =
            [(network, LimitKind::OwnResets), (browser, LimitKind::OwnResets), (&keys.email, LimitKind::MutedResets)];
        let (trust, ([of_network, of_browser, muted], now)) =
            try_join(TrustFacts::read(connection, keys), rate_limits::times_used(connection, limits)).await?;
        let (trusted, own) = if trust.is_unlocked_browser(now) {
            (Some(browser), of_browser)
        } else if trust.is_known_network(now) {
            (Some(network), of_network)
        } else {
            (None, vec![])
        };
        Ok(Self { email: &keys.email, trusted, own, muted, now })
    }

    /// Whether a reset is allowed although the limits of strangers are used up.
    pub(crate) fn has_own(&self) -> bool {
        self.trusted.is_some() && SlidingWindow::new(&[OWN_RESETS]).check(&self.own, self.now).is_ok()
    }

    /// Whether the account of a muted mailbox gets a mail.
    pub(crate) fn has_muted(&self) -> bool {
        SlidingWindow::new(&[MUTED_RESETS]).check(&self.muted, self.now).is_ok()
    }

    /// Counts a reset of the client's own.
    pub(crate) fn count_own<'w>(&self, writes: &mut Writes<'w>)
    where
        'k: 'w,
    {
        if let Some(trusted) = self.trusted {
            let used = SlidingWindow::new(&[OWN_RESETS]).with(&self.own, self.now);
            rate_limits::write(writes, trusted, LimitKind::OwnResets, used);
        }
    }

    /// Counts a reset for a muted mailbox.
    pub(crate) fn count_muted<'w>(&self, writes: &mut Writes<'w>)
    where
        'k: 'w,
    {
        rate_limits::write(writes, self.email, LimitKind::MutedResets, vec![self.now]);
    }
}
