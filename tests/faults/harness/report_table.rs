//! Prints what came out of a environment, a line each, in a form that docs/RELIABILITY.md can hold.

use std::{io::Write, time::Duration};

use crate::harness::checker::Report;

#[expect(clippy::print_stdout, reason = "the line is what the test is run for")]
pub(crate) fn print(name: &str, report: &Report, rate: f64, lasted: Duration) {
    let (lost, unexpected) = (report.lost.len(), report.unexpected.len());
    let Report { attempts, acknowledged, ok, duplicated, .. } = report;
    let seconds = lasted.as_secs_f64();
    println!(
        "{name}: attempt {attempts} acknowledged {acknowledged} ok {ok} lost {lost} duplicated {duplicated} \
         unexpected {unexpected} · rate {rate:.2} · fault {seconds:.1} s · ended without a mail {:?}",
        report.ended
    );
    if let Some(path) = std::env::var_os("FAULTS_TABLE") {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        let cells = format!(
            "| {name} | {attempts} | {acknowledged} | {ok} | {lost} | {duplicated} | {unexpected} | {rate:.2} | {seconds:.0} s |"
        );
        writeln!(file, "{cells}").unwrap();
    }
}

/// The share of those who had their mail promptly, after over before.
pub(crate) fn rate(before: (usize, usize), after: (usize, usize)) -> f64 {
    let share = |(prompt, of): (usize, usize)| prompt as f64 / of.max(1) as f64;
    share(after) / share(before)
}
