//! The benches by their ids.

pub(crate) mod activations;
pub(crate) mod delivery;
pub(crate) mod engine;
pub(crate) mod mails;
pub(crate) mod memory;
pub(crate) mod overload;
pub(crate) mod peer;
pub(crate) mod refusals;
pub(crate) mod registrations;
pub(crate) mod relay;
pub(crate) mod transactions;

use anyhow::Result;

use crate::{
    environment::services::Ground,
    report::{plot::Point, table::Row},
};

/// What a bench found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) rows: Vec<Row>,
    /// Of the load that was offered.
    pub(crate) points: Vec<Point>,
}

/// Each with the words that choose it.
pub(crate) const ALL: [&[&str]; 11] = [
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
    &["peer"],
];

pub(crate) async fn run(id: &str, ground: &Ground) -> Result<Findings> {
    let rows = match id {
        "B1" => registrations::run(ground).await?,
        "B2" => activations::run(ground).await?,
        "B3" => engine::run(ground).await?,
        "B4" => relay::run(ground).await?,
        "B5" => mails::run(ground).await?,
        "B6" => transactions::run(ground).await?,
        "B8" => delivery::run(ground).await?,
        "B9" => return overload::run(ground).await,
        "B14" => refusals::run(ground).await?,
        "B16" => memory::run(ground).await?,
        _ => peer::run(ground).await?,
    };
    Ok(Findings { rows, points: Vec::new() })
}
