//! The routes: one file per group of paths.

pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod not_me;
pub(crate) mod passwords;
pub(crate) mod policy;
pub(crate) mod problems;
pub(crate) mod registration_events;
pub(crate) mod sessions;
pub(crate) mod unlock;
pub(crate) mod users;
