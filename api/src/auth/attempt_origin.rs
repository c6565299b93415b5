//! Where a password attempt comes from, and the lockouts that it counts toward because of that.
//!
//! Attempts from known networks and from unlocked browsers count toward lockouts of their own, so an attacker elsewhere
//! cannot lock the owner of an account out of these.

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    domain::{
        policy::{
            ACCOUNT_LOCKOUT, KNOWN_NETWORK_LOCKOUT, KNOWN_NETWORK_TTL, NETWORK_LOCKOUT, SURROUNDINGS_LOCKOUTS,
            UNLOCK_TTL, UNLOCKED_BROWSER_LOCKOUT,
        },
        rate_limit::lockout::{Lockout, LockoutRefusal, LockoutRule},
        subject_keys::SubjectKeys,
    },
    store::{
        Connection, PgError,
        lockouts::{self, known_networks, unlocks},
        transaction::Writes,
    },
};

/// Where an attempt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A browser in which the owner of the account has opened an unlock link.
    UnlockedBrowser,
    /// A network from which the owner of the account has entered it.
    KnownNetwork,
    Unknown,
}

/// A lockout that an attempt counts toward: its subject and its rule. That of the origin itself is the first of a list.
type Counted<'k> = (&'k [u8; 32], LockoutRule);

/// The lockouts of one origin, as read at `now` under the lock of the mailbox.
pub(crate) struct Lockouts<'k> {
    counted: Vec<(Counted<'k>, Lockout)>,
    /// How many overdue attempts have become failures by a reservation.
    pub(crate) overdue: u32,
    /// The database's time when they were read.
    pub(crate) now: OffsetDateTime,
}

/// Why a client may be trusted to be the owner of the account.
pub(crate) struct TrustFacts {
    /// When the account was last entered from its network.
    entered_at: Option<OffsetDateTime>,
    /// When the unlock link was opened that gave it its cookie.
    opened_at: Option<OffsetDateTime>,
}

/// What decides about the origin of an attempt, and its lockouts.
pub(crate) struct OriginFacts<'k> {
    keys: &'k SubjectKeys,
    trust: TrustFacts,
    /// Of all origins that the attempt may have.
    pub(crate) lockouts: Lockouts<'k>,
}

impl Origin {
    /// The lockouts that an attempt of this origin counts toward.
    pub(crate) fn lockouts(self, keys: &SubjectKeys) -> Vec<Counted<'_>> {
        match self {
            Self::UnlockedBrowser => {
                keys.unlock_cookie.iter().map(|cookie| (cookie, UNLOCKED_BROWSER_LOCKOUT)).collect()
            }
            Self::KnownNetwork => vec![(&keys.email_and_network, KNOWN_NETWORK_LOCKOUT)],
            Self::Unknown => {
                let surroundings = keys.email_and_surroundings.iter().flatten().zip(SURROUNDINGS_LOCKOUTS);
                [(&keys.email_and_network, NETWORK_LOCKOUT)]
                    .into_iter()
                    .chain(surroundings)
                    .chain([(&keys.email, ACCOUNT_LOCKOUT)])
                    .collect()
            }
        }
    }
}

impl TrustFacts {
    /// Reads the facts.
    pub(crate) async fn read(connection: &Connection, keys: &SubjectKeys) -> Result<Self, PgError> {
        let opened_at = async {
            match &keys.unlock_cookie {
                Some(cookie) => unlocks::opened_at(connection, cookie, &keys.email).await,
                None => Ok(None),
            }
        };
        let entered_at = known_networks::last_at(connection, &keys.email, &keys.email_and_network);
        let (entered_at, opened_at) = try_join(entered_at, opened_at).await?;
        Ok(Self { entered_at, opened_at })
    }

    /// Whether the owner of the account has entered it from the network of the client.
    pub(crate) fn is_known_network(&self, now: OffsetDateTime) -> bool {
        self.entered_at.is_some_and(|at| now < at + KNOWN_NETWORK_TTL)
    }

    /// Whether the owner of the account has opened an unlock link in the browser.
    pub(crate) fn is_unlocked_browser(&self, now: OffsetDateTime) -> bool {
        self.opened_at.is_some_and(|at| now < at + UNLOCK_TTL)
    }
}

impl<'k> OriginFacts<'k> {
    /// Reads the facts. The caller holds the lock of the mailbox.
    pub(crate) async fn read(connection: &Connection, keys: &'k SubjectKeys) -> Result<Self, PgError> {
        // The lockout of a known network has the subject of the same network while it is unknown.
        let all = [Origin::UnlockedBrowser, Origin::Unknown].into_iter().flat_map(|origin| origin.lockouts(keys));
        let (lockouts, trust) =
            try_join(Lockouts::read(connection, all.collect()), TrustFacts::read(connection, keys)).await?;
        Ok(Self { keys, trust, lockouts })
    }

    /// Reserves an attempt with the first origin that is not locked, an unlocked browser before its network.
    pub(crate) fn reserve(self) -> Result<(Origin, Lockouts<'k>), LockoutRefusal> {
        let now = self.lockouts.now;
        let network = if self.trust.is_known_network(now) { Origin::KnownNetwork } else { Origin::Unknown };
        if self.trust.is_unlocked_browser(now)
            && let Ok(lockouts) = self.reserve_as(Origin::UnlockedBrowser)
        {
            return Ok((Origin::UnlockedBrowser, lockouts));
        }
        Ok((network, self.reserve_as(network)?))
    }

    fn reserve_as(&self, origin: Origin) -> Result<Lockouts<'k>, LockoutRefusal> {
        let now = self.lockouts.now;
        let reserve = |(subject, rule): Counted<'k>| {
            let read = self.lockouts.counted.iter().find(|((read, _), _)| *read == subject);
            let mut lockout = read.map(|(_, lockout)| lockout.clone()).unwrap_or_default();
            lockout.reserve(&rule, now).map(|overdue| (overdue, ((subject, rule), lockout)))
        };
        let reserved = origin.lockouts(self.keys).into_iter().map(reserve).collect::<Result<Vec<_>, _>>()?;
        let (overdue, counted): (Vec<_>, _) = reserved.into_iter().unzip();
        Ok(Lockouts { counted, overdue: overdue.into_iter().max().unwrap_or(0), now })
    }
}

impl<'k> Lockouts<'k> {
    /// Reads lockouts, at least one. The caller holds the lock of the mailbox.
    pub(crate) async fn read(connection: &Connection, counted: Vec<Counted<'k>>) -> Result<Self, PgError> {
        let subjects: Vec<_> = counted.iter().map(|(subject, _)| *subject).collect();
        let (read, now) = lockouts::read(connection, &subjects).await?;
        Ok(Self { counted: counted.into_iter().zip(read).collect(), overdue: 0, now })
    }

    /// The pending attempts of the subject that has most of them: the account.
    pub(crate) fn pending(&self) -> u32 {
        let pending = self.counted.iter().map(|(_, lockout)| lockout.pending.len()).max();
        u32::try_from(pending.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Whether the attempt that was reserved at `reserved_at` is pending.
    pub(crate) fn has_pending(&self, reserved_at: OffsetDateTime) -> bool {
        self.counted.iter().any(|(_, lockout)| lockout.pending.contains(&reserved_at))
    }

    /// Counts the attempt that was reserved at `reserved_at` as a failure. Returns whether it begins a lock.
    pub(crate) fn fail(&mut self, reserved_at: OffsetDateTime) -> bool {
        let now = self.now;
        let fail = |((_, rule), lockout): &mut (Counted<'k>, Lockout)| lockout.fail(rule, reserved_at, now);
        self.counted.iter_mut().map(fail).fold(false, |any, begins_lock| any | begins_lock)
    }

    /// Removes the attempt that was reserved at `reserved_at`.
    pub(crate) fn release(&mut self, reserved_at: OffsetDateTime) {
        self.counted.iter_mut().for_each(|(_, lockout)| lockout.release(reserved_at));
    }

    /// Removes the failures of the origin itself, not those of its surroundings or of the account.
    pub(crate) fn clear_origin(&mut self) {
        self.counted.iter_mut().take(1).for_each(|(_, lockout)| lockout.clear());
    }

    /// Writes the lockouts.
    pub(crate) fn write<'w>(self, writes: &mut Writes<'w>)
    where
        'k: 'w,
    {
        for ((subject, _), lockout) in self.counted {
            lockouts::write(writes, subject, lockout);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
