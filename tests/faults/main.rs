//! Faults: real processes on real servers, killed, cut off and stalled under load. `make test-faults` runs them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

mod api_killed;
mod bounds;
mod broker_fails;
mod checker;
mod cluster_fails;
mod environment;
mod history;
mod links_fail;
mod listener;
mod load;
mod mail_fails;
mod node;
mod postgres_fails;
mod queues;
mod servers;
mod table;
mod upkeep;
mod user_load;
mod worker_killed;
