//! B3: hashes per second of our engine ÷ those of RustCrypto with reused memory, on one thread.

use anyhow::Result;

use crate::{
    baseline::raw_hashes::Engine,
    environment::services::Ground,
    report::{
        progress::say,
        table::{Goal, Row},
    },
};

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let mut rounds = Vec::new();
    for round in 1..=ground.rounds() {
        let seconds = ground.seconds() / 2.0;
        let (ours, theirs) = (Engine::Fast.rate(1, seconds).await?, Engine::Reference.rate(1, seconds).await?);
        say(&format!("  B3 round {round}: {ours:.1} hashes/s, RustCrypto {theirs:.1}"));
        rounds.push((ours, theirs));
    }
    let what = "our hash engine ÷ RustCrypto with reused memory, one thread";
    Ok(vec![Row::ratio("B3", what, &rounds, "/s", Goal::AtLeast(1.9, 1.0))])
}
