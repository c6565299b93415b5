//! Benchmarks: compares the service with baselines on the same machine, alternating between both. `make bench` runs
//! them.

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
            // Without a backtrace: the message names the cause.
            print(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments == ["bare"] {
        return crate::baseline::bare_poem::serve();
    }
    let quick = std::env::var("QUICK").is_ok_and(|quick| quick == "1");
    let ids = choose(&arguments)?;
    // A single thread, because the driver shares the cores with the service under test.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let context = BenchContext::from_environment(quick)?;
        let outcome = run(&context, &ids).await;
        context.clean_up().await;
        outcome
    })
}

/// The ids of the benches to run: those with a row of this name, or all if there is no argument.
fn choose(arguments: &[String]) -> Result<Vec<&'static str>> {
    let matches = |row: &str, argument: &String| row.eq_ignore_ascii_case(argument);
    let unknown = arguments
        .iter()
        .find(|argument| !benches::ALL.iter().flat_map(|rows| rows.iter()).any(|row| matches(row, argument)));
    ensure!(
        unknown.is_none(),
        "there is no bench '{}'; choose from {:?}",
        unknown.map_or("", |argument| argument),
        benches::ALL
    );
    let ids = benches::ALL.iter().filter(|rows| {
        arguments.is_empty() || rows.iter().any(|row| arguments.iter().any(|argument| matches(row, argument)))
    });
    Ok(ids.map(|rows| rows[0]).collect())
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
        let BenchResults { rows, points } = benches::run(id, context).await?;
        print(&crate::report::table::aligned(&rows));
        let unmeasured = rows.iter().find(|row| !row.is_measured());
        ensure!(unmeasured.is_none(), "a bench measured nothing: {unmeasured:?}");
        all.rows.extend(rows);
        all.points.extend(points);
    }
    print(&crate::report::table::aligned(&all.rows));
    if context.quick {
        print("QUICK=1 only checks that the benches run; the figures are meaningless.");
    } else if ids.len() == benches::ALL.len() {
        crate::report::document::write(context, &all, &servers)?;
        print("Updated docs/PERFORMANCE.md and docs/performance.svg.");
    }
    Ok(())
}
