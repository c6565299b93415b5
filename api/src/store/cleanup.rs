//! The SQL of the cleanup job that concerns no table of its own: its lock, and vacuuming.

pub(crate) mod lock;
pub(crate) mod vacuum;
