//! The environment that each fault happens in: processes, servers, simulated users, and the checks afterwards.

pub(crate) mod checker;
pub(crate) mod environment;
pub(crate) mod event_subscriber;
pub(crate) mod history;
pub(crate) mod load;
pub(crate) mod lost_commits;
pub(crate) mod queues;
pub(crate) mod report_table;
pub(crate) mod servers;
pub(crate) mod service_process;
pub(crate) mod tolerance;
pub(crate) mod user_simulator;
