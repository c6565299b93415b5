//! How much a relay may take, beside what it has in hand.

/// EventKind one round may bring.
const BATCH: usize = 500;

/// For so many mails there is a place for one event, beside theirs: others decide how soon a queue of theirs takes one, and
/// no mail is to wait for that.
const MAILS_TO_AN_EVENT: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) mails: usize,
    pub(crate) events: usize,
}

impl Capacity {
    pub(crate) const NONE: Self = Self { mails: 0, events: 0 };

    /// `in_hand` is how many mails there may be.
    pub(crate) fn beside(mails: usize, events: usize, in_hand: usize) -> Self {
        let at_most = |places: usize, taken| places.saturating_sub(taken).min(BATCH);
        Self { mails: at_most(in_hand, mails), events: at_most((in_hand / MAILS_TO_AN_EVENT).max(1), events) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_no_larger_than_what_fits() {
        let room = |mails, events| Capacity { mails, events };
        assert_eq!(Capacity::beside(0, 0, 4_000), room(500, 500));
        assert_eq!(Capacity::beside(900, 0, 1_000), room(100, 500));
        assert_eq!(Capacity::beside(1_000, 450, 1_000), room(0, 50));
        assert_eq!(Capacity::beside(0, 500, 1_000), room(500, 0));
        assert_eq!(Capacity::beside(0, 0, 1), room(1, 1));
    }

    /// However many of the others there are.
    #[test]
    fn neither_takes_the_places_of_the_other() {
        for in_hand in [1, 2, 8, 1_000] {
            for others in [0, 1, in_hand, 2 * in_hand] {
                assert_eq!(Capacity::beside(0, others, in_hand).mails, in_hand.min(BATCH));
                assert_eq!(Capacity::beside(others, 0, in_hand).events, (in_hand / 2).max(1));
            }
        }
    }
}
