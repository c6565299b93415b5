//! The status of a mailed code, computed in one place for receipts and for submitted codes.

use time::OffsetDateTime;

use crate::{
    domain::policy::{Code, CodeStatus},
    error::Error,
    store::{registrations::Registration, resets::Reset},
};

/// The code of a registration or of a reset, with the outcome of its mail.
pub(crate) struct MailedCode<'a> {
    code: &'a Code,
    /// Whether the mail will never be delivered: it was rejected permanently, or dropped by the worker.
    mail_failed: bool,
    now: OffsetDateTime,
}

impl<'a> From<&'a Registration> for MailedCode<'a> {
    fn from(registration: &'a Registration) -> Self {
        let Registration { code, undeliverable, dropped, now, .. } = registration;
        Self { code, mail_failed: *undeliverable || *dropped, now: *now }
    }
}

impl<'a> From<&'a Reset> for MailedCode<'a> {
    fn from(reset: &'a Reset) -> Self {
        let Reset { code, undeliverable, dropped, now, .. } = reset;
        Self { code, mail_failed: *undeliverable || *dropped, now: *now }
    }
}

impl MailedCode<'_> {
    /// The status of the code. A code that still waits for its mail has expired if that mail failed.
    pub(crate) fn status(&self) -> CodeStatus {
        match self.code.status(self.now) {
            CodeStatus::Waiting if self.mail_failed => CodeStatus::Expired,
            status => status,
        }
    }

    /// Checks whether a submitted code can be compared with this one. `attempts_left` is for the error.
    pub(crate) fn check_live(&self, attempts_left: u8) -> Result<(), Error> {
        match self.status() {
            CodeStatus::Live => Ok(()),
            CodeStatus::Waiting => Err(Error::CodeNotSent { attempts_left }),
            CodeStatus::Expired => Err(Error::CodeExpired),
            CodeStatus::Exhausted => Err(Error::CodeExhausted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, macros::datetime};

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn code(sent: bool, attempts: u8) -> Code {
        Code {
            id: uuid::Uuid::nil(),
            receipt: uuid::Uuid::nil(),
            hash: vec![],
            key_id: String::new(),
            length: 4,
            attempts,
            attempts_allowed: 3,
            deadline: NOW + Duration::MINUTE,
            sent_at: sent.then_some(NOW),
            expires_at: sent.then_some(NOW + Duration::MINUTE),
            resend_at: NOW,
        }
    }

    #[test]
    fn failed_mail_expires_only_a_waiting_code() {
        for (code, mail_failed, expected) in [
            (code(false, 0), false, CodeStatus::Waiting),
            (code(false, 0), true, CodeStatus::Expired),
            (code(true, 0), true, CodeStatus::Live),
            (code(true, 3), true, CodeStatus::Exhausted),
            (code(false, 3), true, CodeStatus::Exhausted),
        ] {
            assert_eq!(MailedCode { code: &code, mail_failed, now: NOW }.status(), expected, "{code:?}");
        }
    }

    #[test]
    fn mail_has_failed_if_it_was_rejected_or_dropped() {
        let email = crate::domain::email::EmailAddress::parse("ada@example.com").unwrap();
        for (undeliverable, dropped) in [(false, false), (true, false), (false, true), (true, true)] {
            let registration = Registration {
                id: uuid::Uuid::nil(),
                email: email.clone(),
                password_hash: String::new(),
                language: i18n::Language::English,
                created_at: NOW,
                activated_at: None,
                closed_at: None,
                guesses: 0,
                undeliverable,
                dropped,
                code: code(false, 0),
                now: NOW,
            };
            let reset = Reset {
                id: uuid::Uuid::nil(),
                email: email.clone(),
                user: None,
                language: i18n::Language::English,
                created_at: NOW,
                used_at: None,
                closed_at: None,
                undeliverable,
                dropped,
                code: code(false, 0),
                now: NOW,
            };
            let failed = [MailedCode::from(&registration).mail_failed, MailedCode::from(&reset).mail_failed];
            assert_eq!(failed, [undeliverable || dropped; 2]);
        }
    }

    #[test]
    fn code_that_is_not_sent_yet_keeps_its_attempts() {
        let check = |code: Code| MailedCode { code: &code, mail_failed: false, now: NOW }.check_live(2);
        assert!(matches!(check(code(false, 1)), Err(Error::CodeNotSent { attempts_left: 2 })));
        assert!(check(code(true, 1)).is_ok());
        assert!(matches!(check(code(true, 3)), Err(Error::CodeExhausted)));
    }
}
