//! What follows when the owner of a mailbox says that it was not them who signed up.

use time::{Duration, OffsetDateTime};

use crate::domain::rate_limit::guess_escalation::{GuessLimits, GuessRecord, STEP};

/// For so long sign-ups with the address get no mail.
pub(crate) const MUTED_FOR: Duration = Duration::days(30);

/// When the mute ends, if it has not.
pub(crate) fn running(until: Option<OffsetDateTime>, now: OffsetDateTime) -> Option<OffsetDateTime> {
    until.filter(|&until| now < until)
}

/// What the address is told to have seen: as many wrong guesses as make its codes one step longer. Each step has as
/// many guesses as the one before, so none is lost. Where codes would grow no more, nothing is counted: there, guesses
/// could run out, and somebody who said no would be shut out himself.
pub(crate) fn told(guesses: &GuessLimits, record: &GuessRecord, now: OffsetDateTime) -> Option<GuessRecord> {
    let told = record.with(STEP, now);
    let length = |record| guesses.length(record, &[], now);
    (length(&told) > length(record)).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    #[test]
    fn a_mute_is_half_open() {
        let until = Some(T0 + MUTED_FOR);
        assert_eq!(running(until, T0 + MUTED_FOR - Duration::SECOND), until);
        assert_eq!(running(until, T0 + MUTED_FOR), None);
        assert_eq!(running(None, T0), None);
    }

    #[test]
    fn codes_grow_by_one_step_and_no_guess_is_lost() {
        let guesses = GuessLimits::new(4, true);
        for (wrong, longer) in [(0, 6), (8, 6), (9, 8), (17, 8)] {
            let record = GuessRecord { wrong, last_at: Some(T0) };
            let told = told(&guesses, &record, T0).unwrap();
            assert_eq!(guesses.length(&told, &[], T0), longer, "{wrong}");
            // At the longest codes there is no end to them at all.
            assert!(guesses.room(&told, T0) >= guesses.room(&record, T0), "{wrong}");
        }
        assert_eq!(told(&guesses, &GuessRecord { wrong: 18, last_at: Some(T0) }, T0), None);
    }

    #[test]
    fn nobody_is_locked_out_where_codes_do_not_grow() {
        for guesses in [GuessLimits::new(4, false), GuessLimits::new(8, true)] {
            assert_eq!(told(&guesses, &GuessRecord::default(), T0), None);
            assert_eq!(told(&guesses, &GuessRecord { wrong: 14, last_at: Some(T0) }, T0), None);
        }
    }
}
