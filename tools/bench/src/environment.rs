//! Environment of the benches: servers, processes, databases and a fake mail server.

pub(crate) mod broker;
pub(crate) mod context;
pub(crate) mod database;
pub(crate) mod deployment;
pub(crate) mod fake_smtp;
pub(crate) mod history;
pub(crate) mod isolated_runtime;
pub(crate) mod pipeline;
pub(crate) mod prefill;
pub(crate) mod process;
pub(crate) mod statements;
pub(crate) mod usage;
