//! Builds the email of a message: derives its code, chooses the mail and renders it in the user's language.

use anyhow::anyhow;
use i18n::{lifetime::Lifetime, mail::Mail};
use secrecy::{ExposeSecret, SecretString};
use shared::{
    codes::{CodeSecrets, DECOY, Key, MUTED},
    messages::{MailKind, Message},
    not_me_link,
};
use uuid::Uuid;

use crate::{
    delivery::email::{self, OutgoingMail, Sender},
    domain::decision::{CodeFacts, Facts},
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
        let (digits, not_me_url);
        let mail = match (message.kind, &facts.code) {
            (kind @ (MailKind::SendCode | MailKind::ResetCode), Some(code)) => {
                let key = self.key(code).map_err(BuildError::SecretsDiffer)?;
                if kind == MailKind::SendCode && key.verifies(message.id, MUTED, &code.hash) {
                    return email::muted_email(&self.sender, &facts.email).map_err(BuildError::Permanent);
                }
                digits = self.digits(key, message.id, code).map_err(BuildError::SecretsDiffer)?;
                let lifetime = Lifetime::of_seconds(facts.lifetime_seconds(code));
                let digits = digits.expose_secret();
                if kind == MailKind::SendCode {
                    let token = not_me_link::token(key, message.id);
                    not_me_url = format!("{}{}{token}", self.public_url, not_me_link::PATH);
                    Mail::Code { digits, lifetime, not_me: &not_me_url }
                } else {
                    Mail::ResetCode { digits, lifetime }
                }
            }
            (kind @ (MailKind::AlreadyRegistered | MailKind::NoAccount), Some(code)) => {
                // The mail does not contain the code. But if mails with codes must wait for a secret, this one must
                // wait too, or the delay would reveal which email addresses have an account.
                self.check_key(message.id, code, DECOY).map_err(BuildError::SecretsDiffer)?;
                if kind == MailKind::NoAccount { Mail::NoAccount } else { Mail::AlreadyRegistered }
            }
            (MailKind::Activated, None) => Mail::Activated,
            (MailKind::PasswordChanged, None) => Mail::PasswordChanged,
            // Every kind is listed, so that the compiler asks for the mail of a new one.
            (MailKind::SendCode | MailKind::ResetCode | MailKind::AlreadyRegistered | MailKind::NoAccount, None)
            | (MailKind::Activated | MailKind::PasswordChanged, Some(_)) => {
                return Err(BuildError::Permanent(anyhow!("the facts do not match the kind of the message")));
            }
        };
        let outgoing = OutgoingMail { id: message.id, to: &facts.email, language: facts.language, mail };
        email::render(&self.sender, &self.public_url, &outgoing, facts.now).map_err(BuildError::Permanent)
    }

    fn key(&self, code: &CodeFacts) -> Result<&Key, &'static str> {
        self.code_secrets.get(&code.key_id).ok_or(UNKNOWN_KEY)
    }

    /// Derives the digits of the code and checks them against its hash.
    fn digits(&self, key: &Key, id: Uuid, code: &CodeFacts) -> Result<SecretString, &'static str> {
        let digits = key.digits(id, code.length);
        self.check_key(id, code, digits.expose_secret())?;
        Ok(digits)
    }

    /// Checks that the key of this worker yields the hash that the API stored for these digits.
    fn check_key(&self, id: Uuid, code: &CodeFacts, digits: &str) -> Result<(), &'static str> {
        if self.key(code)?.verifies(id, digits, &code.hash) { Ok(()) } else { Err(DIFFERENT_KEY) }
    }
}
