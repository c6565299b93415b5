//! Baselines to compare the service with: raw hashing, pgbench, a minimal poem server.

pub(crate) mod bare_poem;
pub(crate) mod pgbench;
pub(crate) mod pgbench_script;
pub(crate) mod raw_hashes;
pub(crate) mod statement_log;
