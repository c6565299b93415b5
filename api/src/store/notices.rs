//! What the owner of an account is notified of: one table for each kind of event, whose ids are those of the messages.

pub(crate) mod account_deletions;
pub(crate) mod password_changes;
