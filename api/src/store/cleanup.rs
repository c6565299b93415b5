//! The SQL of the cleanup job that concerns no table of its own: its lock, vacuuming, and how well that keeps up.

pub(crate) mod lock;
pub(crate) mod table_stats;
pub(crate) mod vacuum;
