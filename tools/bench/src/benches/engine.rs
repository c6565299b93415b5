//! B3: hashes per second of the engine `fast` ÷ those of RustCrypto with reused memory, on one thread.

use anyhow::Result;

use crate::{
    baseline::raw_hashes::Engine,
    environment::context::BenchContext,
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let seconds = context.seconds() / 2.0;
        let (vestibule, baseline) = (Engine::Fast.rate(1, seconds).await?, Engine::Reference.rate(1, seconds).await?);
        print(&format!("  B3 round {round}: {vestibule:.1} hashes/s, RustCrypto {baseline:.1}"));
        rounds.push((vestibule, baseline));
    }
    let label = "hash engine `fast` ÷ RustCrypto with reused memory, one thread";
    Ok(vec![Row::ratio("B3", label, &rounds, "/s", Goal::AtLeast(1.9, 1.0))])
}
