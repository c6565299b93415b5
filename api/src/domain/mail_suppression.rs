//! Mail suppression: what follows when the owner of a mailbox reports that they did not sign up ("not me").

use time::{Duration, OffsetDateTime};

use crate::domain::rate_limit::{
    guess_escalation::{GUESSES_PER_STEP, GuessLimits, GuessRecord},
    guess_shares::InstanceTotals,
};

/// How long registrations with the email address send no mail.
pub(crate) const SUPPRESSION_PERIOD: Duration = Duration::days(30);

/// When the suppression ends; `None` if there is none, or it has expired.
pub(crate) fn active_until(until: Option<OffsetDateTime>, now: OffsetDateTime) -> Option<OffsetDateTime> {
    until.filter(|&until| now < until)
}

/// The guess record after a report: as many wrong guesses are added as make the codes of the email address one step
/// longer. Each step allows as many guesses as the one before, so none is lost. `None` where codes do not get longer:
/// there the guesses could run out, and an owner who reported would be locked out.
pub(crate) fn escalated_record(
    guesses: &GuessLimits,
    record: &GuessRecord,
    now: OffsetDateTime,
) -> Option<GuessRecord> {
    let escalated = record.with(GUESSES_PER_STEP, now);
    let length = |record| guesses.length(record, &InstanceTotals::default(), now);
    (length(&escalated) > length(record)).then_some(escalated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    #[test]
    fn suppression_ends_exactly_at_its_end() {
        let until = Some(T0 + SUPPRESSION_PERIOD);
        assert_eq!(active_until(until, T0 + SUPPRESSION_PERIOD - Duration::SECOND), until);
        assert_eq!(active_until(until, T0 + SUPPRESSION_PERIOD), None);
        assert_eq!(active_until(None, T0), None);
    }

    #[test]
    fn report_makes_codes_one_step_longer() {
        let guesses = GuessLimits::new(4, true);
        for (wrong, longer) in [(0, 6), (8, 6), (9, 8), (17, 8)] {
            let record = GuessRecord { wrong, last_at: Some(T0) };
            let escalated = escalated_record(&guesses, &record, T0).unwrap();
            assert_eq!(guesses.length(&escalated, &InstanceTotals::default(), T0), longer, "{wrong}");
            // At the longest codes, guesses are not limited at all.
            assert!(guesses.guesses_left(&escalated, T0) >= guesses.guesses_left(&record, T0), "{wrong}");
        }
        assert_eq!(escalated_record(&guesses, &GuessRecord { wrong: 18, last_at: Some(T0) }, T0), None);
    }

    #[test]
    fn report_counts_nothing_where_codes_do_not_escalate() {
        for guesses in [GuessLimits::new(4, false), GuessLimits::new(8, true)] {
            assert_eq!(escalated_record(&guesses, &GuessRecord::default(), T0), None);
            assert_eq!(escalated_record(&guesses, &GuessRecord { wrong: 14, last_at: Some(T0) }, T0), None);
        }
    }
}
