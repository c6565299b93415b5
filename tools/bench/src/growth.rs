//! The growth benches: whether the cost of a request stays the same, whatever the size of the tables, the age of the
//! oldest snapshot, and the number of processes.

pub(crate) mod held_snapshot;

use anyhow::Result;

use crate::{environment::context::BenchContext, report::table::Row};

/// The growth benches, each with the names of its rows.
pub(crate) const ALL: [&[&str]; 1] = [&["G2-peak", "G2-peak-end"]];

/// Runs the bench with this id; `None` if it is not a growth bench.
pub(crate) async fn run(id: &str, context: &BenchContext) -> Result<Option<Vec<Row>>> {
    Ok(Some(match id {
        "G2-peak" => held_snapshot::run(context).await?,
        _ => return Ok(None),
    }))
}
