//! Measures the service against what the machine can do at all, both sides in turns; `make bench` runs it.

mod baseline;
mod benches;
mod clock;
mod environment;
mod load;
mod report;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::{environment::context::BenchContext, report::progress::print};
use benches::BenchResults;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In words alone: where in the bench it was seen is of no interest.
            print(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if words == ["bare"] {
        return crate::baseline::bare_poem::serve();
    }
    let quick = std::env::var("QUICK").is_ok_and(|quick| quick == "1");
    let chosen = choose(&words)?;
    // One thread: the driver shares the cores with what it measures.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let context = BenchContext::from_environment(quick)?;
        let outcome = run(&context, &chosen).await;
        context.clean_up().await;
        outcome
    })
}

/// The first word of each bench that has one of these words; all without.
fn choose(words: &[String]) -> Result<Vec<&'static str>> {
    let is = |name: &str, word: &String| name.eq_ignore_ascii_case(word);
    let unknown =
        words.iter().find(|word| !benches::ALL.iter().flat_map(|names| names.iter()).any(|name| is(name, word)));
    ensure!(unknown.is_none(), "there is no bench {}: there are {:?}", unknown.map_or("", |word| word), benches::ALL);
    let chosen = benches::ALL
        .iter()
        .filter(|names| words.is_empty() || names.iter().any(|name| words.iter().any(|word| is(name, word))));
    Ok(chosen.map(|names| names[0]).collect())
}

async fn run(context: &BenchContext, chosen: &[&str]) -> Result<()> {
    let (servers, is_durable) = crate::environment::database::describe(context).await?;
    print(&crate::report::document::machine(context, &servers));
    ensure!(is_durable, "a Postgres that may lose what it was told is no measure: DURABLE=1 starts one that may not");
    let mut all = BenchResults::default();
    for id in chosen {
        print(&format!("{id} …"));
        let BenchResults { rows, points } = benches::run(id, context).await?;
        print(&crate::report::table::aligned(&rows));
        let unmeasured = rows.iter().find(|row| !row.is_measured());
        ensure!(unmeasured.is_none(), "nothing was measured: {unmeasured:?}");
        all.rows.extend(rows);
        all.points.extend(points);
    }
    print(&crate::report::table::aligned(&all.rows));
    if context.quick {
        print("This was the quick form: it shows that the benches run, and its figures mean nothing.");
    } else if chosen.len() == benches::ALL.len() {
        crate::report::document::write(context, &all, &servers)?;
        print("docs/PERFORMANCE.md and docs/performance.svg are new.");
    }
    Ok(())
}
