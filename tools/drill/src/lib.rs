//! `vestibule drill`: plays the attacker who never reads the mail, and holds what is granted against what is promised.

mod answer;
pub mod arguments;
mod attacker;
mod chance;
mod ledger;
mod plays;
mod promise;
mod ranks;
mod report;
mod shape;
mod sources;
mod target;

use anyhow::{Context, Result, bail};

use arguments::Arguments;
use attacker::Attacker;
use plays::Ground;
pub use plays::Play;
use promise::Promise;
use report::{Report, Row};
pub use target::Target;

/// Returns whether every promise was kept.
pub async fn run(arguments: Arguments) -> Result<bool> {
    let attacker = Attacker::new(&arguments).await?;
    let promise = Promise::parse(&attacker.policy().await?)?;
    report::say(&format!("{} from {}", arguments.target, attacker.sources()));
    let json = arguments.json;
    let ground = Ground { attacker, promise, arguments };
    let mut rows = vec![];
    for &play in &ground.arguments.plays {
        rows.extend(one(play, &ground).await?);
    }
    rows.extend(ground.attacker.ledger_rows(&ground.promise));
    if rows.iter().all(Row::says_nothing) {
        bail!("nothing could be tried: {}", rows.first().map_or("no play was chosen", |row| &row.note));
    }
    let report =
        Report { target: ground.arguments.target.to_string(), rows, yearly_bound: ground.promise.yearly_bound() };
    report::print(&if json { report.json() } else { report.table() });
    Ok(report.is_kept())
}

async fn one(play: Play, ground: &Ground) -> Result<Vec<Row>> {
    if ground.attacker.is_over() {
        return Ok(vec![Row::not_tried(play.name(), "the time was over")]);
    }
    report::say(&format!("{}: {}", play.name(), play.purpose()));
    let rows = play.run(ground).await;
    rows.with_context(|| format!("the target stopped answering during {}", play.name()))
}
