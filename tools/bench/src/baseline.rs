//! Baselines: what the machine can do without the service.

pub(crate) mod bare_poem;
pub(crate) mod pgbench;
pub(crate) mod pgbench_script;
pub(crate) mod raw_hashes;
pub(crate) mod statement_log;
