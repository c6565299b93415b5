//! What a fail-over to an asynchronous standby loses: commits of the old primary that the standby never received.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;
use uuid::Uuid;

use crate::harness::checker::Rows;

/// The rows that only the old primary has. Without a fail-over there are none.
#[derive(Default)]
pub(crate) struct LostCommits {
    /// The standby has everything that was acknowledged before this moment.
    replicated_until: Option<Instant>,
    /// Email addresses by id, of registrations and of messages.
    pub(crate) registrations: HashMap<Uuid, String>,
    messages: HashMap<Uuid, String>,
    /// Email addresses of accounts.
    accounts: HashSet<String>,
    /// How many messages are left without the record of their delivery: they may be mailed again.
    pub(crate) records: usize,
}

impl LostCommits {
    /// Compares the old primary with the standby as it was when it was promoted.
    pub(crate) fn between(replicated_until: Instant, primary: Rows, standby: &Rows) -> Self {
        let is_recorded = |id| standby.messages.get(id).is_some_and(|message| message.outcome.is_some());
        let (kept, lost): (Vec<_>, Vec<_>) =
            primary.messages.into_iter().partition(|(id, _)| standby.messages.contains_key(id));
        let mut registrations = primary.registrations;
        registrations.retain(|id, _| !standby.registrations.contains_key(id));
        Self {
            replicated_until: Some(replicated_until),
            registrations,
            messages: lost.into_iter().map(|(id, message)| (id, message.email)).collect(),
            accounts: primary.users.difference(&standby.users).cloned().collect(),
            records: kept.iter().filter(|(id, message)| message.outcome.is_some() && !is_recorded(id)).count(),
        }
    }

    /// Whether this registration, acknowledged at this time, is lost.
    pub(crate) fn lost_registration(&self, id: Uuid, acknowledged_at: Instant) -> bool {
        self.is_later(acknowledged_at) && self.registrations.contains_key(&id)
    }

    /// Whether a registration of this email address is lost.
    pub(crate) fn lost_registration_of(&self, email: &str) -> bool {
        self.registrations.values().any(|owner| owner == email)
    }

    /// Whether this account, whose activation was acknowledged at this time, is lost.
    pub(crate) fn lost_account(&self, email: &str, acknowledged_at: Instant) -> bool {
        self.is_later(acknowledged_at) && self.accounts.contains(email)
    }

    /// Whether the row of this message is lost. It may have been mailed before.
    pub(crate) fn lost_message(&self, id: Uuid, email: &str) -> bool {
        self.messages.get(&id).is_some_and(|owner| owner == email)
    }

    /// Whether the subject of this event is lost. It may have been published before.
    pub(crate) fn lost_subject(&self, id: Uuid) -> bool {
        self.registrations.contains_key(&id) || self.messages.contains_key(&id)
    }

    fn is_later(&self, at: Instant) -> bool {
        self.replicated_until.is_some_and(|until| at >= until)
    }
}
