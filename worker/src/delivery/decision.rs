//! Whether a mail is still worth sending: pure, from what the database said.

use i18n::Language;
use time::{Duration, OffsetDateTime};

/// Nobody reads a mail and types its code in fewer seconds.
const SHORTEST_LIFE: u32 = 5;

/// What is true about a message at `now`, the database's time.
pub(crate) struct Facts {
    pub(crate) email: String,
    /// In which the mail is to be.
    pub(crate) language: Language,
    /// Its end is on record: this is a repetition.
    pub(crate) recorded: bool,
    pub(crate) now: OffsetDateTime,
    pub(crate) deadline: OffsetDateTime,
    /// The code that the message is about, if it is about one.
    pub(crate) code: Option<Code>,
}

pub(crate) struct Code {
    pub(crate) hash: Vec<u8>,
    pub(crate) key_id: String,
    pub(crate) length: u8,
    pub(crate) ttl_seconds: u32,
    pub(crate) superseded: bool,
    /// Its registration was activated or closed; with a reset, the password was changed.
    pub(crate) over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Send,
    Drop(&'static str),
    Recorded,
}

impl Facts {
    pub(crate) fn judge(&self) -> Decision {
        match &self.code {
            _ if self.recorded => Decision::Recorded,
            Some(code) if code.superseded => Decision::Drop("superseded"),
            Some(code) if code.over => Decision::Drop("registration over"),
            Some(code) if self.lifetime_seconds(code) < code.ttl_seconds.min(SHORTEST_LIFE) => {
                Decision::Drop("expired")
            }
            _ if self.now >= self.deadline => Decision::Drop("expired"),
            _ => Decision::Send,
        }
    }

    /// How long the code would live if a mail server took it now.
    pub(crate) fn lifetime_seconds(&self, code: &Code) -> u32 {
        let until_deadline = (self.deadline - self.now).whole_seconds().max(0);
        code.ttl_seconds.min(u32::try_from(until_deadline).unwrap_or(u32::MAX))
    }
}

/// A warning that a password was changed is worth more late than never, for a while.
pub(crate) fn warning_until(changed_at: OffsetDateTime) -> OffsetDateTime {
    changed_at + Duration::WEEK
}

/// A welcome that comes a day late is none.
pub(crate) fn welcome_until(activated_at: OffsetDateTime) -> OffsetDateTime {
    activated_at + Duration::DAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn facts(seconds_left: f64, code: Option<Code>) -> Facts {
        let deadline = T0 + Duration::seconds_f64(seconds_left);
        let (email, language) = ("ada@example.com".into(), Language::English);
        Facts { email, language, recorded: false, now: T0, deadline, code }
    }

    fn code() -> Code {
        Code { hash: vec![], key_id: "a".into(), length: 4, ttl_seconds: 60, superseded: false, over: false }
    }

    #[test]
    fn a_dead_code_is_never_sent() {
        assert_eq!(facts(5.0, Some(code())).judge(), Decision::Send);
        assert_eq!(facts(4.9, Some(code())).judge(), Decision::Drop("expired"));
        let short = || Code { ttl_seconds: 2, ..code() };
        assert_eq!(facts(2.0, Some(short())).judge(), Decision::Send);
        assert_eq!(facts(1.9, Some(short())).judge(), Decision::Drop("expired"));
        let superseded = Code { superseded: true, ..code() };
        assert_eq!(facts(9.0, Some(superseded)).judge(), Decision::Drop("superseded"));
        let over = Code { over: true, ..code() };
        assert_eq!(facts(9.0, Some(over)).judge(), Decision::Drop("registration over"));
    }

    #[test]
    fn a_repetition_is_not_sent_again() {
        assert_eq!(Facts { recorded: true, ..facts(9.0, Some(code())) }.judge(), Decision::Recorded);
    }

    #[test]
    fn a_mail_without_a_code_is_only_a_matter_of_time() {
        assert_eq!(facts(0.001, None).judge(), Decision::Send);
        assert_eq!(facts(0.0, None).judge(), Decision::Drop("expired"));
        assert_eq!(facts(-1.0, None).judge(), Decision::Drop("expired"));
    }

    #[test]
    fn a_welcome_is_worth_a_day() {
        assert_eq!(welcome_until(T0), T0 + Duration::DAY);
        let facts = |age| Facts { deadline: welcome_until(T0 - age), ..facts(0.0, None) };
        assert_eq!(facts(Duration::DAY - Duration::SECOND).judge(), Decision::Send);
        assert_eq!(facts(Duration::DAY).judge(), Decision::Drop("expired"));
    }

    #[test]
    fn a_warning_is_worth_a_week() {
        let facts = |age| Facts { deadline: warning_until(T0 - age), ..facts(0.0, None) };
        assert_eq!(facts(Duration::WEEK - Duration::SECOND).judge(), Decision::Send);
        assert_eq!(facts(Duration::WEEK).judge(), Decision::Drop("expired"));
    }

    #[test]
    fn the_mail_promises_no_more_than_the_deadline_allows() {
        assert_eq!(facts(600.0, None).lifetime_seconds(&code()), 60);
        assert_eq!(facts(42.9, None).lifetime_seconds(&code()), 42);
    }
}
