//! The growth benches: whether the cost of a request stays the same, whatever the size of the tables, the age of the
//! oldest snapshot, and the number of processes.

pub(crate) mod held_snapshot;
pub(crate) mod request_cost;

use anyhow::Result;

use crate::{environment::context::BenchContext, report::table::Row};

/// The growth benches, each with the names of its rows.
pub(crate) const ALL: [&[&str]; 2] =
    [&["G1", "G1-sign-up", "G1-activate", "G1-log-in", "G1-refusal", "G1-receipt"], &["G2-peak", "G2-peak-end"]];

/// Runs the bench with this id; `None` if it is not a growth bench.
pub(crate) async fn run(id: &str, context: &BenchContext) -> Result<Option<Vec<Row>>> {
    Ok(Some(match id {
        "G1" => request_cost::run(context).await?,
        "G2-peak" => held_snapshot::run(context).await?,
        _ => return Ok(None),
    }))
}
