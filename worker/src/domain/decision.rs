//! Decides whether a mail is still worth sending: also for retries and for messages that the broker redelivers after a
//! crash. Pure: all facts, including the time, come from the database.

use i18n::Language;
use time::OffsetDateTime;

/// A code with less remaining lifetime is not sent: no user can read a mail and type its code faster.
const MIN_LIFETIME_SECONDS: u32 = 5;

/// What the database says about a message at `now`, the database's time.
pub(crate) struct Facts {
    pub(crate) email: String,
    /// The language of the mail.
    pub(crate) language: Language,
    /// Whether the outcome is recorded already: then this message is a duplicate.
    pub(crate) recorded: bool,
    pub(crate) now: OffsetDateTime,
    /// When the mail expires.
    pub(crate) deadline: OffsetDateTime,
    /// Whether the owner of the mailbox wants no such mail. (Of a mail with a code, the code itself says so.)
    pub(crate) is_muted: bool,
    /// The code of the message, if it is about one.
    pub(crate) code: Option<CodeFacts>,
}

/// What the database says about a code.
pub(crate) struct CodeFacts {
    pub(crate) hash: Vec<u8>,
    pub(crate) key_id: String,
    pub(crate) length: u8,
    pub(crate) ttl_seconds: u32,
    /// Whether a newer code replaced it; for a password reset, whether it was used or closed.
    pub(crate) superseded: bool,
    /// Whether it was used, or its registration was activated or closed. Never true for a password reset.
    pub(crate) registration_ended: bool,
}

/// Whether a mail is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Send,
    /// Not sent, for this reason, which is recorded and is a label of the metric of dropped mails.
    Drop(&'static str),
    /// Not sent: its outcome is recorded already.
    AlreadyRecorded,
}

impl Facts {
    /// Decides whether the mail is sent. A recorded outcome takes precedence over every reason to drop it.
    pub(crate) fn decide(&self) -> Decision {
        match &self.code {
            _ if self.recorded => Decision::AlreadyRecorded,
            Some(code) if code.superseded => Decision::Drop("superseded"),
            Some(code) if code.registration_ended => Decision::Drop("registration over"),
            Some(code) if self.lifetime_seconds(code) < code.ttl_seconds.min(MIN_LIFETIME_SECONDS) => {
                Decision::Drop("expired")
            }
            _ if self.now >= self.deadline => Decision::Drop("expired"),
            _ => Decision::Send,
        }
    }

    /// Returns how long the code would be valid if a mail server accepted the mail now.
    pub(crate) fn lifetime_seconds(&self, code: &CodeFacts) -> u32 {
        let until_deadline = (self.deadline - self.now).whole_seconds().max(0);
        code.ttl_seconds.min(u32::try_from(until_deadline).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, macros::datetime};

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn facts(seconds_left: f64, code: Option<CodeFacts>) -> Facts {
        let deadline = T0 + Duration::seconds_f64(seconds_left);
        let email = "ada@example.com".into();
        Facts { email, language: Language::English, recorded: false, now: T0, deadline, is_muted: false, code }
    }

    fn code() -> CodeFacts {
        CodeFacts {
            hash: vec![],
            key_id: "a".into(),
            length: 4,
            ttl_seconds: 60,
            superseded: false,
            registration_ended: false,
        }
    }

    #[test]
    fn expired_superseded_or_closed_code_is_dropped() {
        assert_eq!(facts(5.0, Some(code())).decide(), Decision::Send);
        assert_eq!(facts(4.9, Some(code())).decide(), Decision::Drop("expired"));
        let short = || CodeFacts { ttl_seconds: 2, ..code() };
        assert_eq!(facts(2.0, Some(short())).decide(), Decision::Send);
        assert_eq!(facts(1.9, Some(short())).decide(), Decision::Drop("expired"));
        let superseded = CodeFacts { superseded: true, ..code() };
        assert_eq!(facts(9.0, Some(superseded)).decide(), Decision::Drop("superseded"));
        let registration_ended = CodeFacts { registration_ended: true, ..code() };
        assert_eq!(facts(9.0, Some(registration_ended)).decide(), Decision::Drop("registration over"));
    }

    #[test]
    fn recorded_message_is_not_sent_again() {
        assert_eq!(Facts { recorded: true, ..facts(9.0, Some(code())) }.decide(), Decision::AlreadyRecorded);
    }

    #[test]
    fn mail_without_code_depends_only_on_deadline() {
        assert_eq!(facts(0.001, None).decide(), Decision::Send);
        assert_eq!(facts(0.0, None).decide(), Decision::Drop("expired"));
        assert_eq!(facts(-1.0, None).decide(), Decision::Drop("expired"));
    }

    #[test]
    fn stated_lifetime_never_exceeds_the_deadline() {
        assert_eq!(facts(600.0, None).lifetime_seconds(&code()), 60);
        assert_eq!(facts(42.9, None).lifetime_seconds(&code()), 42);
    }
}
