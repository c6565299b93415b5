//! Benchmarks: compares the service with baselines on the same machine, alternating between both. `make bench` runs
//! them.

mod baseline;
mod benches;
mod clock;
mod environment;
mod growth;
mod load;
mod report;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use crate::{environment::context::BenchContext, report::progress::print};
use benches::BenchResults;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace: the message names the cause.
            print(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [first, database_url @ ..] = &arguments[..]
        && first == "bare"
    {
        return crate::baseline::bare_poem::serve(database_url.first().map(String::as_str));
    }
    let quick = std::env::var("QUICK").is_ok_and(|quick| quick == "1");
    let mut ids = choose(&arguments)?;
    if quick && arguments.is_empty() {
        ids.retain(|id| *id != benches::PEERS);
    }
    // A single thread, because the driver shares the cores with the service under test.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let context = BenchContext::from_environment(quick)?;
        let outcome = run(&context, &ids).await;
        context.clean_up().await;
        outcome
    })
}

/// The ids of the benches to run: those with a row of this name; all of speed if there is no argument, and all of growth
/// if it is `growth`.
fn choose(arguments: &[String]) -> Result<Vec<&'static str>> {
    let ids = |benches: &mut dyn Iterator<Item = &&'static [&'static str]>| benches.map(|rows| rows[0]).collect();
    match arguments {
        [] => return Ok(ids(&mut benches::ALL.iter())),
        [suite] if suite == "growth" => return Ok(ids(&mut growth::ALL.iter())),
        _ => {}
    }
    let all = || benches::ALL.iter().chain(&growth::ALL);
    let is_row = |argument: &String, rows: &[&str]| rows.iter().any(|row| row.eq_ignore_ascii_case(argument));
    if let Some(unknown) = arguments.iter().find(|argument| !all().any(|rows| is_row(argument, rows))) {
        bail!("there is no bench '{unknown}'; choose growth, or from {:?}", all().collect::<Vec<_>>());
    }
    Ok(ids(&mut all().filter(|rows| arguments.iter().any(|argument| is_row(argument, rows)))))
}

async fn run(context: &BenchContext, ids: &[&str]) -> Result<()> {
    let (servers, is_durable) = crate::environment::database::describe(context).await?;
    print(&crate::report::document::machine(context, &servers));
    ensure!(
        is_durable,
        "Postgres runs without fsync, full_page_writes or synchronous_commit, which falsifies the results; start the servers with DURABLE=1"
    );
    let mut all = BenchResults::default();
    for id in ids {
        print(&format!("{id} …"));
        let BenchResults { rows, points } = match growth::run(id, context).await? {
            Some(rows) => BenchResults { rows, points: Vec::new() },
            None => benches::run(id, context).await?,
        };
        print(&crate::report::table::aligned(&rows));
        let unmeasured = rows.iter().find(|row| !row.is_measured());
        ensure!(unmeasured.is_none(), "a bench measured nothing: {unmeasured:?}");
        all.rows.extend(rows);
        all.points.extend(points);
    }
    print(&crate::report::table::aligned(&all.rows));
    if context.quick {
        print("QUICK=1 only checks that the benches run; the figures are meaningless.");
    } else if *ids == benches::ALL.map(|rows| rows[0]) {
        crate::report::document::write(context, &all, &servers)?;
        print("Updated docs/PERFORMANCE.md and docs/performance.svg.");
    } else if *ids == growth::ALL.map(|rows| rows[0]) {
        crate::report::document::write_growth(context, &all, &servers)?;
        print("Updated the table of growth in docs/PERFORMANCE.md.");
    }
    Ok(())
}
