//! What an operator sees and does: metrics, traces, cleanup, the command line.

pub(crate) mod api_process;
pub(crate) mod auth_log;
pub(crate) mod cleanup;
pub(crate) mod drill;
pub(crate) mod least_privilege;
pub(crate) mod metrics;
pub(crate) mod migrations;
pub(crate) mod outbox_cli;
pub(crate) mod partial_commit;
pub(crate) mod postgres_hosts;
pub(crate) mod query_plans;
pub(crate) mod readiness;
pub(crate) mod round_trips;
pub(crate) mod schema;
pub(crate) mod secret_leaks;
pub(crate) mod settings;
pub(crate) mod traces;
pub(crate) mod worker_process;
