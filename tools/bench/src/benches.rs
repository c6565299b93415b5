//! The benches and their ids.

pub(crate) mod activations;
pub(crate) mod current_user;
pub(crate) mod delivery;
pub(crate) mod engine;
pub(crate) mod fairness;
pub(crate) mod mails;
pub(crate) mod memory;
pub(crate) mod overload;
pub(crate) mod peer;
pub(crate) mod peers;
pub(crate) mod registrations;
pub(crate) mod rejections;
pub(crate) mod relay;
pub(crate) mod transactions;

use anyhow::Result;

use crate::{
    environment::context::BenchContext,
    report::{plot::Point, table::Row},
};

/// The results of a bench.
#[derive(Default)]
pub(crate) struct BenchResults {
    pub(crate) rows: Vec<Row>,
    /// Goodput and latency by offered load.
    pub(crate) points: Vec<Point>,
}

/// The benches, each with the names of its rows. Any of them chooses the bench; the first is its id.
pub(crate) const ALL: [&[&str]; 14] = [
    &["B1", "B1-all"],
    &["B2", "B2-all"],
    &["B3"],
    &["B4"],
    &["B5", "B5-fast"],
    &["B6", "B6-piped"],
    &["B8"],
    &["B9", "B9-2x", "B9-5x", "B10", "B10-503", "B10-end", "S-19"],
    &["B14", "B14-429", "B14-asked", "B14-pg", "B14-503"],
    &["B16"],
    &["B17"],
    &["B18"],
    &["peer"],
    &[PEERS, "better-auth", "fastapi-users"],
];

/// The bench that needs packages from npm and PyPI. The quick form leaves it out unless it is named: to install them takes
/// longer than all of that.
pub(crate) const PEERS: &str = "peers";

/// Runs the bench with this id.
pub(crate) async fn run(id: &str, context: &BenchContext) -> Result<BenchResults> {
    let rows = match id {
        "B1" => registrations::run(context).await?,
        "B2" => activations::run(context).await?,
        "B3" => engine::run(context).await?,
        "B4" => relay::run(context).await?,
        "B5" => mails::run(context).await?,
        "B6" => transactions::run(context).await?,
        "B8" => delivery::run(context).await?,
        "B9" => return overload::run(context).await,
        "B14" => rejections::run(context).await?,
        "B16" => memory::run(context).await?,
        "B17" => current_user::run(context).await?,
        "B18" => fairness::run(context).await?,
        PEERS => peers::run(context).await?,
        _ => peer::run(context).await?,
    };
    Ok(BenchResults { rows, points: Vec::new() })
}
