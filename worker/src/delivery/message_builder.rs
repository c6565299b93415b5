//! Builds the email of a message: derives its code, chooses the mail and renders it in the user's language.

use anyhow::anyhow;
use i18n::{lifetime::Lifetime, mail::Mail};
use secrecy::ExposeSecret;
use shared::{
    codes::{CodeSecrets, DECOY, MUTED},
    mail_link::MailLink,
    messages::{MailKind, Message},
};

use crate::{
    delivery::email::{self, OutgoingMail, Sender},
    domain::decision::Facts,
    smtp::Email,
};

const UNKNOWN_KEY: &str = "the key of this code is not in CODE_SECRETS";
const DIFFERENT_KEY: &str = "the key of this code yields a different code";

/// Why an email could not be built.
pub(crate) enum BuildError {
    /// `CODE_SECRETS` of this worker and of the API differ; another worker may have the right key.
    SecretsDiffer(&'static str),
    /// The email can never be built.
    Permanent(anyhow::Error),
}

/// Builds emails from messages and the facts about them.
pub(crate) struct MessageBuilder {
    pub(crate) code_secrets: CodeSecrets,
    pub(crate) sender: Sender,
    pub(crate) public_url: String,
}

impl MessageBuilder {
    /// Builds the email of a message. A code mail to an email address whose mails are suppressed is built as a muted
    /// email.
    pub(crate) fn build(&self, message: Message, facts: &Facts) -> Result<Email, BuildError> {
        let (digits, not_me, unlock);
        let url = |link: MailLink, key| link.url(&self.public_url, key, message.id);
        let mail = match (message.kind, &facts.code) {
            (kind @ (MailKind::SendCode | MailKind::ResetCode), Some(code)) => {
                let is_registration = kind == MailKind::SendCode;
                // Without the key nothing is sent, not even a mail that contains no code: otherwise the delay of the
                // others would reveal which email addresses have an account.
                let key = self.code_secrets.get(&code.key_id).ok_or(BuildError::SecretsDiffer(UNKNOWN_KEY))?;
                let lifetime = Lifetime::of_seconds(facts.lifetime_seconds(code));
                digits = key.digits(message.id, code.length);
                let digits = digits.expose_secret();
                let is_made_of = |text: &str| key.verifies(message.id, text, &code.hash);
                not_me = url(MailLink::NotMe, key);
                let not_me = &not_me;
                if is_made_of(digits) {
                    if is_registration {
                        Mail::Code { digits, lifetime, not_me }
                    } else {
                        Mail::ResetCode { digits, lifetime, not_me }
                    }
                } else if is_made_of(DECOY) {
                    if is_registration { Mail::AlreadyRegistered { not_me } } else { Mail::NoAccount { not_me } }
                } else if is_made_of(MUTED) {
                    return email::muted_email(&self.sender, &facts.email).map_err(BuildError::Permanent);
                } else {
                    return Err(BuildError::SecretsDiffer(DIFFERENT_KEY));
                }
            }
            (MailKind::Activated, None) => Mail::Activated,
            (MailKind::PasswordChanged, None) => Mail::PasswordChanged,
            (MailKind::AccountDeleted, None) => Mail::AccountDeleted,
            (MailKind::Unlock, None) if facts.is_muted => {
                return email::muted_email(&self.sender, &facts.email).map_err(BuildError::Permanent);
            }
            (MailKind::Unlock, None) => {
                let key = self.code_secrets.newest();
                (unlock, not_me) = (url(MailLink::Unlock, key), url(MailLink::NotMe, key));
                Mail::Unlock { link: &unlock, not_me: &not_me }
            }
            // Every kind is listed, so that the compiler asks for the mail of a new one.
            (MailKind::SendCode | MailKind::ResetCode, None)
            | (
                MailKind::Activated | MailKind::PasswordChanged | MailKind::AccountDeleted | MailKind::Unlock,
                Some(_),
            ) => {
                return Err(BuildError::Permanent(anyhow!("the facts do not match the kind of the message")));
            }
        };
        let outgoing = OutgoingMail { id: message.id, to: &facts.email, language: facts.language, mail };
        email::render(&self.sender, &self.public_url, &outgoing, facts.now).map_err(BuildError::Permanent)
    }
}
