//! Prints the result of a fault test, one line each, and appends it as a table row for docs/RELIABILITY.md.

use std::{io::Write, time::Duration};

use crate::harness::checker::{PromptMails, Report};

/// Prints the result, and appends a row to the file in `FAULTS_TABLE`, if that is set.
#[expect(clippy::print_stdout, reason = "the line is what the test is run for")]
pub(crate) fn print(name: &str, report: &Report, rate: f64, fault_duration: Duration) {
    let lost = report.lost.len();
    let unexpected = report.unexpected.len();
    let Report { attempts, acknowledged, ok, duplicated, .. } = report;
    let seconds = fault_duration.as_secs_f64();
    println!(
        "{name}: attempt {attempts} acknowledged {acknowledged} ok {ok} lost {lost} duplicated {duplicated} \
         unexpected {unexpected} · rate {rate:.2} · fault {seconds:.1} s · ended without a mail {:?} · \
         lost by the fail-over {}",
        report.ended, report.lost_by_failover
    );
    if let Some(path) = std::env::var_os("FAULTS_TABLE") {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        let cells = format!(
            "| {name} | {attempts} | {acknowledged} | {ok} | {lost} | {duplicated} | {unexpected} | {rate:.2} | {seconds:.0} s |"
        );
        writeln!(file, "{cells}").unwrap();
    }
}

/// The share of users with a prompt mail after the fault, divided by the share before it.
pub(crate) fn rate(before: PromptMails, after: PromptMails) -> f64 {
    let share = |mails: PromptMails| mails.prompt as f64 / mails.users.max(1) as f64;
    share(after) / share(before)
}
