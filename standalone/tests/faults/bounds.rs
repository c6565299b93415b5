//! How long a scene goes on, and what its fault may cost.

use std::{ops::RangeInclusive, time::Duration};

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
pub(crate) struct May {
    /// At most faults × what is in hand (I-06); and at least so many where the fault is one that must repeat a mail.
    pub(crate) duplicate: RangeInclusive<usize>,
    /// So many messages end without a mail, on record.
    pub(crate) refuse: usize,
    /// So many people at most lose all their tries.
    pub(crate) spend: usize,
    /// So many messages are parked.
    pub(crate) park: u32,
}

impl May {
    pub(crate) fn nothing() -> Self {
        Self { duplicate: 0..=0, refuse: 0, spend: 0, park: 0 }
    }

    pub(crate) fn duplicate(at_most: usize) -> Self {
        Self { duplicate: 0..=at_most, ..Self::nothing() }
    }
}

/// What one worker has in hand at most: two messages for each of its 8 connections to the mail server.
pub(crate) const IN_HAND: usize = 16;

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
