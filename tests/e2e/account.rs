//! Accounts: sessions, password changes and resets, deletion.

pub(crate) mod account_deletion;
pub(crate) mod account_deletion_events;
pub(crate) mod password_change;
pub(crate) mod password_reset;
pub(crate) mod reset_enumeration;
pub(crate) mod sessions;
