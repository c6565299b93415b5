//! Writes the email that a message asks for: which words, with which digits, to whom.

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
    delivery::{
        decision::{Code, Facts},
        email::{self, Outgoing, Sender},
    },
    smtp::Email,
};

const NO_KEY: &str = "the code was made with a key that is not here";

/// Why there is no email.
pub(crate) enum BuildError {
    OtherSecrets(&'static str),
    Impossible(anyhow::Error),
}

pub(crate) struct MessageBuilder {
    pub(crate) ring: CodeSecrets,
    pub(crate) sender: Sender,
    pub(crate) public_url: String,
}

impl MessageBuilder {
    pub(crate) fn compose(&self, message: Message, facts: &Facts) -> Result<Email, BuildError> {
        let (digits, not_me);
        let mail = match (message.kind, &facts.code) {
            (kind @ (MailKind::SendCode | MailKind::ResetCode), Some(code)) => {
                let key = self.key(code).map_err(BuildError::OtherSecrets)?;
                if kind == MailKind::SendCode && key.verifies(message.id, MUTED, &code.hash) {
                    return email::muted(&self.sender, &facts.email).map_err(BuildError::Impossible);
                }
                digits = self.digits(key, message.id, code).map_err(BuildError::OtherSecrets)?;
                let lifetime = Lifetime::of_seconds(facts.lifetime_seconds(code));
                let digits = digits.expose_secret();
                if kind == MailKind::SendCode {
                    not_me = format!("{}{}{}", self.public_url, not_me_link::PATH, not_me_link::token(key, message.id));
                    Mail::Code { digits, lifetime, not_me: &not_me }
                } else {
                    Mail::ResetCode { digits, lifetime }
                }
            }
            (kind @ (MailKind::AlreadyRegistered | MailKind::NoAccount), Some(code)) => {
                // Nothing of it is mailed; but if codes must wait for a secret, so must this, or the wait would
                // tell who has an account.
                self.check_key(message.id, code, DECOY).map_err(BuildError::OtherSecrets)?;
                if kind == MailKind::NoAccount { Mail::NoAccount } else { Mail::AlreadyRegistered }
            }
            (MailKind::Activated, None) => Mail::Activated,
            (MailKind::PasswordChanged, None) => Mail::PasswordChanged,
            _ => return Err(BuildError::Impossible(anyhow!("the facts are not those of such a message"))),
        };
        let outgoing = Outgoing { id: message.id, to: &facts.email, language: facts.language, mail };
        email::render(&self.sender, &self.public_url, &outgoing, facts.now).map_err(BuildError::Impossible)
    }

    fn key(&self, code: &Code) -> Result<&Key, &'static str> {
        self.ring.get(&code.key_id).ok_or(NO_KEY)
    }

    fn digits(&self, key: &Key, id: Uuid, code: &Code) -> Result<SecretString, &'static str> {
        let digits = key.digits(id, code.length);
        self.check_key(id, code, digits.expose_secret())?;
        Ok(digits)
    }

    fn check_key(&self, id: Uuid, code: &Code, digits: &str) -> Result<(), &'static str> {
        if self.key(code)?.verifies(id, digits, &code.hash) { Ok(()) } else { Err("the key makes other digits") }
    }
}
