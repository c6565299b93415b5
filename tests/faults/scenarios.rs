//! The faults, grouped by the part that fails.

mod api_crashes;
mod broker_cluster;
mod broker_outages;
mod degraded_links;
mod mail_server_errors;
mod maintenance;
mod postgres_outages;
mod worker_crashes;
