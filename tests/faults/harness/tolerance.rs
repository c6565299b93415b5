//! How long a fault test runs, what its fault may cost, and the assertions that it did not cost more.

use std::{ops::RangeInclusive, time::Duration};

use crate::harness::{
    checker::{PromptMails, Report},
    report_table,
};

/// How long the phases of a test last, and how often a fault is repeated.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) before: Duration,
    pub(crate) settle: Duration,
    pub(crate) after: Duration,
    /// How often a fault that takes a moment is repeated.
    pub(crate) repetitions: u32,
    /// How long a fault lasts that takes its time.
    pub(crate) outage: Duration,
    /// How long a snapshot is held.
    pub(crate) snapshot: Duration,
}

/// What a fault may cost.
#[derive(Clone)]
pub(crate) struct Tolerance {
    /// Duplicate mails: at most the number of faults × the messages in flight (I-06), and at least so many where the
    /// fault must repeat a mail.
    pub(crate) duplicates: RangeInclusive<usize>,
    /// Messages that end without a mail, on record.
    pub(crate) undelivered: usize,
    /// At most so many users lose all attempts of their code.
    pub(crate) exhausted_codes: usize,
    pub(crate) parked: u32,
}

impl Tolerance {
    /// The fault may cost nothing.
    pub(crate) fn none() -> Self {
        Self { duplicates: 0..=0, undelivered: 0, exhausted_codes: 0, parked: 0 }
    }

    /// The fault may cost at most this number of duplicate mails.
    pub(crate) fn duplicates_up_to(limit: usize) -> Self {
        Self { duplicates: 0..=limit, ..Self::none() }
    }
}

/// The messages that one worker has in flight at most: two for each of its 8 connections to the mail server.
pub(crate) const MAX_IN_FLIGHT: usize = 16;

/// After the time to settle, prompt delivery must have recovered within this time.
pub(crate) const MAX_RECOVERY: Duration = Duration::from_secs(60);

/// The short schedule of CI, or with `FULL=1` the long one.
pub(crate) fn schedule() -> Schedule {
    let seconds = Duration::from_secs;
    if std::env::var_os("FULL").is_some_and(|full| full == "1") {
        Schedule {
            before: seconds(10),
            settle: seconds(10),
            after: seconds(20),
            repetitions: 20,
            outage: seconds(60),
            snapshot: seconds(600),
        }
    } else {
        Schedule {
            before: seconds(2),
            settle: seconds(10),
            after: seconds(2),
            repetitions: 2,
            outage: seconds(6),
            snapshot: seconds(6),
        }
    }
}

/// Asserts that nothing was lost, and that the fault cost no more than it may. `lost_records` is how many mails are sent
/// again because a fail-over lost the record of their delivery.
pub(crate) fn assert_within(report: &Report, tolerance: &Tolerance, lost_records: usize) {
    let duplicated = report.duplicated.saturating_sub(lost_records);
    assert!(report.lost.is_empty(), "lost: {:?}\nunexpected: {:?}", report.lost, report.unexpected);
    assert!(report.unexpected.is_empty(), "unexpected: {:?}", report.unexpected);
    assert_eq!(report.acknowledged, report.attempts, "not every user was acknowledged in the end");
    assert!(tolerance.duplicates.contains(&duplicated), "{duplicated} duplicates, not {:?}", tolerance.duplicates);
    // However many faults there were: a process that repeats most of its mails has another defect.
    assert!(duplicated <= 2 * MAX_IN_FLIGHT || duplicated * 10 <= report.ok, "{duplicated} duplicates");
    assert_eq!(report.ended.values().sum::<usize>(), tolerance.undelivered, "without a mail: {:?}", report.ended);
    assert!(
        report.exhausted_codes <= tolerance.exhausted_codes,
        "{} users have no attempt left",
        report.exhausted_codes
    );
    assert!(
        tolerance.undelivered > 0 || report.mailed_and_ended == 0,
        "messages were mailed that are on record as not mailed"
    );
}

/// Whether mails are as prompt as before the fault. One late user is accepted: on a busy machine there always is one.
pub(crate) fn has_recovered(before: PromptMails, after: PromptMails) -> bool {
    after.users > 0 && (report_table::rate(before, after) >= 0.95 || after.users - after.prompt <= 1)
}

/// Asserts that mails are as prompt as before the fault.
pub(crate) fn assert_recovered(before: PromptMails, after: PromptMails) {
    assert!(before.prompt > 0 && after.users > 0, "no users signed up");
    let rate = report_table::rate(before, after);
    assert!(has_recovered(before, after), "the rate after the fault is {rate:.2} of the rate before");
}
