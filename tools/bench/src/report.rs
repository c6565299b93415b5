//! Reports: statistics, tables, docs/PERFORMANCE.md and its plot.

pub(crate) mod document;
pub(crate) mod plot;
pub(crate) mod progress;
pub(crate) mod statistics;
pub(crate) mod table;
