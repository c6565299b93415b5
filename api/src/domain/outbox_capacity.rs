//! Limits the messages in flight: how many codes, notices and events the relay may lease in the next round. This is the
//! backpressure from the broker: rows that it does not confirm stay in the outbox.

/// The maximum batch size: how many rows of each kind one round leases.
const MAX_BATCH: usize = 500;

/// Notices and events have in-flight slots of their own: no code may wait for any number of notices, or for an event, whose
/// confirm depends on the queues of other services. Notices have one slot for this many of codes.
const CODE_SLOTS_PER_NOTICE_SLOT: usize = 4;

/// Of the window of events, only this part is used: they are not urgent, and share the broker with mails.
const EVENT_WINDOW_DIVISOR: usize = 2;

/// In a lane with a backlog the relay leases rows when half of its slots are free: a round costs little more for many rows
/// than for one. A lane with fewer slots than this does not wait so long, because they are worth more: an eighth is enough,
/// or one of less than sixteen.
const FEW_SLOTS: usize = 100;
const FEW_SLOTS_DIVISOR: usize = 8;

/// How many messages the delivery takes at once. It may change at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxInFlight {
    /// Codes; notices have slots in proportion, beside them.
    pub mails: usize,
    /// Events have half of this, because they are not urgent.
    pub events: usize,
}

impl MaxInFlight {
    /// The same number for both.
    pub const fn of_each(limit: usize) -> Self {
        Self { mails: limit, events: limit }
    }
}

/// How many rows of each lane may be leased, or are in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) codes: usize,
    pub(crate) notices: usize,
    pub(crate) events: usize,
}

/// The lanes of mails in which rows may wait for capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LanesWithBacklog {
    pub(crate) codes: bool,
    pub(crate) notices: bool,
}

impl LanesWithBacklog {
    pub(crate) fn any(self) -> bool {
        self.codes || self.notices
    }
}

impl Capacity {
    /// Lease nothing.
    pub(crate) const NONE: Self = Self { codes: 0, notices: 0, events: 0 };

    /// The free capacity beside what is in flight. There is none in a lane whose limit was lowered below that.
    pub(crate) fn remaining(in_flight: Self, max: MaxInFlight) -> Self {
        let free = |limit: usize, in_flight| limit.saturating_sub(in_flight).min(MAX_BATCH);
        let limits = Self::limits(max);
        Self {
            codes: free(limits.codes, in_flight.codes),
            notices: free(limits.notices, in_flight.notices),
            events: free(limits.events, in_flight.events),
        }
    }

    /// Whether a lane with a backlog has so much free capacity that a round is worth its cost.
    pub(crate) fn is_worth_a_round(self, backlog: LanesWithBacklog, max: MaxInFlight) -> bool {
        let limits = Self::limits(max);
        let is_enough = |free: usize, limit: usize| match limit {
            0..FEW_SLOTS => free >= (limit / FEW_SLOTS_DIVISOR).max(1),
            _ => free >= (limit / 2).min(MAX_BATCH),
        };
        backlog.codes && is_enough(self.codes, limits.codes)
            || backlog.notices && is_enough(self.notices, limits.notices)
    }

    fn limits(MaxInFlight { mails, events }: MaxInFlight) -> Self {
        Self {
            codes: mails,
            notices: (mails / CODE_SLOTS_PER_NOTICE_SLOT).max(1),
            events: (events / EVENT_WINDOW_DIVISOR).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(codes: usize, notices: usize, events: usize) -> Capacity {
        Capacity { codes, notices, events }
    }

    fn max(limit: usize) -> MaxInFlight {
        MaxInFlight::of_each(limit)
    }

    #[test]
    fn a_batch_is_bounded_by_the_free_capacity() {
        assert_eq!(Capacity::remaining(Capacity::NONE, max(4_000)), capacity(500, 500, 500));
        assert_eq!(Capacity::remaining(capacity(900, 200, 0), max(1_000)), capacity(100, 50, 500));
        assert_eq!(Capacity::remaining(capacity(1_000, 0, 450), max(1_000)), capacity(0, 250, 50));
        assert_eq!(Capacity::remaining(capacity(0, 250, 500), max(1_000)), capacity(500, 0, 0));
        assert_eq!(Capacity::remaining(Capacity::NONE, max(1)), capacity(1, 1, 1));
    }

    #[test]
    fn a_round_in_a_backlog_needs_half_of_the_slots() {
        let codes = LanesWithBacklog { codes: true, notices: false };
        let notices = LanesWithBacklog { codes: false, notices: true };
        let both = LanesWithBacklog { codes: true, notices: true };
        assert!(!capacity(499, 250, 0).is_worth_a_round(codes, max(1_000)));
        assert!(capacity(500, 0, 0).is_worth_a_round(codes, max(1_000)));
        assert!(!capacity(500, 124, 0).is_worth_a_round(notices, max(1_000)));
        assert!(capacity(0, 125, 0).is_worth_a_round(notices, max(1_000)));
        assert!(capacity(0, 125, 0).is_worth_a_round(both, max(1_000)));
        assert!(capacity(500, 0, 0).is_worth_a_round(codes, max(4_000)), "a batch has 500 rows at most");
        for (few, enough) in [(1, 1), (8, 1), (15, 1), (16, 2), (32, 4), (99, 12)] {
            assert!(capacity(enough, 0, 0).is_worth_a_round(codes, max(few)));
            assert!(!capacity(enough - 1, 0, 0).is_worth_a_round(both, max(few)));
        }
    }

    /// No lane takes the capacity of another, however much is in flight.
    #[test]
    fn lanes_have_separate_capacity() {
        for limit in [1, 2, 8, 1_000] {
            let all = Capacity::remaining(Capacity::NONE, max(limit));
            for others in [0, 1, limit, 2 * limit] {
                assert_eq!(Capacity::remaining(capacity(0, others, others), max(limit)).codes, all.codes);
                assert_eq!(Capacity::remaining(capacity(others, 0, others), max(limit)).notices, all.notices);
                assert_eq!(Capacity::remaining(capacity(others, others, 0), max(limit)).events, all.events);
            }
        }
    }

    #[test]
    fn mails_and_events_have_limits_of_their_own() {
        let slow_mails = MaxInFlight { mails: 16, events: 1_000 };
        assert_eq!(Capacity::remaining(Capacity::NONE, slow_mails), capacity(16, 4, 500));
        let slow_events = MaxInFlight { mails: 1_000, events: 16 };
        assert_eq!(Capacity::remaining(Capacity::NONE, slow_events), capacity(500, 250, 8));
    }

    /// When the limit falls, more is in flight than it allows: nothing is leased until there is less.
    #[test]
    fn lowered_limit_leaves_no_capacity() {
        let free = Capacity::remaining(capacity(1_000, 250, 500), max(500));
        assert_eq!(free, Capacity::NONE);
        assert!(!free.is_worth_a_round(LanesWithBacklog { codes: true, notices: true }, max(500)));
    }
}
