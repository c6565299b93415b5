//! The growth benches: whether the cost of a request stays the same, whatever the size of the tables, the age of the
//! oldest snapshot, and the number of processes.

pub(crate) mod cleanup_rate;
pub(crate) mod held_snapshot;
pub(crate) mod many_apis;
pub(crate) mod many_relays;
pub(crate) mod request_cost;
pub(crate) mod steady_snapshot;

use anyhow::Result;

use crate::{environment::context::BenchContext, report::table::Row};

/// The growth benches, each with the names of its rows.
pub(crate) const ALL: [&[&str]; 6] = [
    &["G1", "G1-sign-up", "G1-activate", "G1-log-in", "G1-refusal", "G1-receipt"],
    &["G2-peak", "G2-peak-end"],
    &["G2", "G2-503", "G2-lease", "G2-longest"],
    &["G3", "G3-ms", "G3-cpu", "G3-blocks"],
    &["G4", "G4-cpu", "G4-idle"],
    &["G7", "G7-size"],
];

/// Runs the bench with this id; `None` if it is not a growth bench.
pub(crate) async fn run(id: &str, context: &BenchContext) -> Result<Option<Vec<Row>>> {
    Ok(Some(match id {
        "G1" => request_cost::run(context).await?,
        "G2-peak" => held_snapshot::run(context).await?,
        "G2" => steady_snapshot::run(context).await?,
        "G3" => many_relays::run(context).await?,
        "G4" => many_apis::run(context).await?,
        "G7" => cleanup_rate::run(context).await?,
        _ => return Ok(None),
    }))
}
