//! Limits the messages in flight: how many mails and events the relay may lease in the next round. This is the
//! backpressure from the broker: rows that it does not confirm stay in the outbox.

/// The maximum batch size: how many rows of each kind one round leases.
const MAX_BATCH: usize = 500;

/// Events have in-flight slots of their own, one for this many mail slots. How soon an event is confirmed depends on
/// the queues of other services, and no mail may wait for that.
const MAIL_SLOTS_PER_EVENT_SLOT: usize = 2;

/// How many mails and how many events may be leased now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) mails: usize,
    pub(crate) events: usize,
}

impl Capacity {
    /// Lease nothing.
    pub(crate) const NONE: Self = Self { mails: 0, events: 0 };

    /// The free capacity beside the `mails` and `events` in flight; `max_in_flight` is the limit for mails.
    pub(crate) fn remaining(mails: usize, events: usize, max_in_flight: usize) -> Self {
        let free = |limit: usize, in_flight| limit.saturating_sub(in_flight).min(MAX_BATCH);
        let max_events = (max_in_flight / MAIL_SLOTS_PER_EVENT_SLOT).max(1);
        Self { mails: free(max_in_flight, mails), events: free(max_events, events) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_by_the_free_capacity() {
        let capacity = |mails, events| Capacity { mails, events };
        assert_eq!(Capacity::remaining(0, 0, 4_000), capacity(500, 500));
        assert_eq!(Capacity::remaining(900, 0, 1_000), capacity(100, 500));
        assert_eq!(Capacity::remaining(1_000, 450, 1_000), capacity(0, 50));
        assert_eq!(Capacity::remaining(0, 500, 1_000), capacity(500, 0));
        assert_eq!(Capacity::remaining(0, 0, 1), capacity(1, 1));
    }

    /// Mails do not take the capacity of events, nor events that of mails, however many there are.
    #[test]
    fn mails_and_events_have_separate_capacity() {
        for max_in_flight in [1, 2, 8, 1_000] {
            for others in [0, 1, max_in_flight, 2 * max_in_flight] {
                assert_eq!(Capacity::remaining(0, others, max_in_flight).mails, max_in_flight.min(MAX_BATCH));
                assert_eq!(Capacity::remaining(others, 0, max_in_flight).events, (max_in_flight / 2).max(1));
            }
        }
    }
}
