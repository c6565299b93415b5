//! Limits the messages in flight: how many codes, notices and events the relay may lease in the next round. This is the
//! backpressure from the broker: rows that it does not confirm stay in the outbox.

/// The maximum batch size: how many rows of each kind one round leases.
const MAX_BATCH: usize = 500;

/// Notices and events have in-flight slots of their own, one for this many slots of codes. How soon an event is
/// confirmed depends on the queues of other services, and no code may wait for that, or for any number of notices.
const CODE_SLOTS_PER_EVENT_SLOT: usize = 2;
const CODE_SLOTS_PER_NOTICE_SLOT: usize = 4;

/// In a lane with a backlog the relay leases rows when half of its slots are free: a round costs little more for many rows
/// than for one. A lane with fewer slots than this does not wait: they are worth more than a round.
const FEW_SLOTS: usize = 100;

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

    /// The free capacity beside what is in flight; `max_codes` is the limit for codes.
    pub(crate) fn remaining(in_flight: Self, max_codes: usize) -> Self {
        let free = |limit: usize, in_flight| limit.saturating_sub(in_flight).min(MAX_BATCH);
        let limits = Self::limits(max_codes);
        Self {
            codes: free(limits.codes, in_flight.codes),
            notices: free(limits.notices, in_flight.notices),
            events: free(limits.events, in_flight.events),
        }
    }

    /// Whether a lane with a backlog has so much free capacity that a round is worth its cost.
    pub(crate) fn is_worth_a_round(self, backlog: LanesWithBacklog, max_codes: usize) -> bool {
        let limits = Self::limits(max_codes);
        let is_enough = |free: usize, limit: usize| match limit {
            0..FEW_SLOTS => free > 0,
            _ => free >= (limit / 2).min(MAX_BATCH),
        };
        backlog.codes && is_enough(self.codes, limits.codes)
            || backlog.notices && is_enough(self.notices, limits.notices)
    }

    fn limits(max_codes: usize) -> Self {
        Self {
            codes: max_codes,
            notices: (max_codes / CODE_SLOTS_PER_NOTICE_SLOT).max(1),
            events: (max_codes / CODE_SLOTS_PER_EVENT_SLOT).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(codes: usize, notices: usize, events: usize) -> Capacity {
        Capacity { codes, notices, events }
    }

    #[test]
    fn a_batch_is_bounded_by_the_free_capacity() {
        assert_eq!(Capacity::remaining(Capacity::NONE, 4_000), capacity(500, 500, 500));
        assert_eq!(Capacity::remaining(capacity(900, 200, 0), 1_000), capacity(100, 50, 500));
        assert_eq!(Capacity::remaining(capacity(1_000, 0, 450), 1_000), capacity(0, 250, 50));
        assert_eq!(Capacity::remaining(capacity(0, 250, 500), 1_000), capacity(500, 0, 0));
        assert_eq!(Capacity::remaining(Capacity::NONE, 1), capacity(1, 1, 1));
    }

    #[test]
    fn a_round_in_a_backlog_needs_half_of_the_slots() {
        let codes = LanesWithBacklog { codes: true, notices: false };
        let notices = LanesWithBacklog { codes: false, notices: true };
        let both = LanesWithBacklog { codes: true, notices: true };
        assert!(!capacity(499, 250, 0).is_worth_a_round(codes, 1_000));
        assert!(capacity(500, 0, 0).is_worth_a_round(codes, 1_000));
        assert!(!capacity(500, 124, 0).is_worth_a_round(notices, 1_000));
        assert!(capacity(0, 125, 0).is_worth_a_round(notices, 1_000));
        assert!(capacity(0, 125, 0).is_worth_a_round(both, 1_000));
        assert!(capacity(500, 0, 0).is_worth_a_round(codes, 4_000), "a batch has 500 rows at most");
        for few in [1, 8, 99] {
            assert!(capacity(1, 0, 0).is_worth_a_round(codes, few));
            assert!(!Capacity::NONE.is_worth_a_round(both, few));
        }
    }

    /// No lane takes the capacity of another, however much is in flight.
    #[test]
    fn lanes_have_separate_capacity() {
        for max in [1, 2, 8, 1_000] {
            let all = Capacity::remaining(Capacity::NONE, max);
            for others in [0, 1, max, 2 * max] {
                assert_eq!(Capacity::remaining(capacity(0, others, others), max).codes, all.codes);
                assert_eq!(Capacity::remaining(capacity(others, 0, others), max).notices, all.notices);
                assert_eq!(Capacity::remaining(capacity(others, others, 0), max).events, all.events);
            }
        }
    }
}
