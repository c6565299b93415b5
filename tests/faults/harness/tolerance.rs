//! How long a environment goes on, what its fault may cost, and whether it cost more.

use std::{ops::RangeInclusive, time::Duration};

use crate::harness::{checker::Report, report_table};

/// How long it goes on, and how often things happen in it.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) before: Duration,
    pub(crate) settle: Duration,
    pub(crate) after: Duration,
    /// How often a fault that takes a moment is repeated, and for how long one lasts that takes its time.
    pub(crate) times: u32,
    pub(crate) outage: Duration,
}

/// What a fault may cost. Nothing, by default.
#[derive(Clone)]
pub(crate) struct Allowed {
    /// At most faults × what is in hand (I-06); and at least so many where the fault is one that must repeat a mail.
    pub(crate) duplicate: RangeInclusive<usize>,
    /// So many messages end without a mail, on record.
    pub(crate) refuse: usize,
    /// So many people at most lose all their tries.
    pub(crate) spend: usize,
    /// So many messages are parked.
    pub(crate) park: u32,
}

impl Allowed {
    pub(crate) fn nothing() -> Self {
        Self { duplicate: 0..=0, refuse: 0, spend: 0, park: 0 }
    }

    pub(crate) fn duplicate(at_most: usize) -> Self {
        Self { duplicate: 0..=at_most, ..Self::nothing() }
    }
}

/// What one worker has in hand at most: two messages for each of its 8 connections to the mail server.
pub(crate) const IN_HAND: usize = 16;

/// How much longer than it takes to settle it may take until all is as it was.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);

pub(crate) fn form() -> Form {
    let seconds = Duration::from_secs;
    if std::env::var_os("FULL").is_some_and(|full| full == "1") {
        let (before, settle, after) = (seconds(10), seconds(10), seconds(20));
        Form { before, settle, after, times: 20, outage: seconds(60) }
    } else {
        let (before, settle, after) = (seconds(2), seconds(10), seconds(2));
        Form { before, settle, after, times: 2, outage: seconds(6) }
    }
}

pub(crate) fn judge(report: &Report, may: &Allowed) {
    assert!(report.lost.is_empty(), "lost: {:?}\nunexpected: {:?}", report.lost, report.unexpected);
    assert!(report.unexpected.is_empty(), "unexpected: {:?}", report.unexpected);
    assert_eq!(report.acknowledged, report.attempts, "everybody was acknowledged in the end");
    assert!(may.duplicate.contains(&report.duplicated), "{} duplicates, not {:?}", report.duplicated, may.duplicate);
    // However many faults there were: what repeats most of what it sends is broken in another way.
    assert!(
        report.duplicated <= 2 * IN_HAND || report.duplicated * 10 <= report.ok,
        "{} duplicates",
        report.duplicated
    );
    assert_eq!(report.ended.values().sum::<usize>(), may.refuse, "without a mail: {:?}", report.ended);
    assert!(report.spent <= may.spend, "{} people have no try left", report.spent);
    assert!(may.refuse > 0 || report.mailed_and_ended == 0, "mailed, and on record as not mailed");
}

/// One person may be late for reasons of her own: on a busy machine somebody always is.
pub(crate) fn is_as_before(before: (usize, usize), after: (usize, usize)) -> bool {
    after.1 > 0 && (report_table::rate(before, after) >= 0.95 || after.1 - after.0 <= 1)
}

pub(crate) fn judge_rate(before: (usize, usize), after: (usize, usize)) {
    assert!(before.0 > 0 && after.1 > 0, "nobody came");
    assert!(
        is_as_before(before, after),
        "the rate after is {:.2} of the rate before",
        report_table::rate(before, after)
    );
}
