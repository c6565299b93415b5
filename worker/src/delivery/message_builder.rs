//! Writes the letter that a message asks for: which words, with which digits, to whom.

use anyhow::anyhow;
use i18n::{lifetime::Lifetime, mail::Mail};
use secrecy::{ExposeSecret, SecretString};
use shared::{
    codes::{DECOY, Key, MUTED, Ring},
    messages::{Kind, Message},
    not_me_link,
};
use uuid::Uuid;

use crate::{
    delivery::{
        decision::{Code, Facts},
        email::{self, Outgoing, Sender},
    },
    smtp::Letter,
};

const NO_KEY: &str = "the code was made with a key that is not here";

/// Why there is no letter.
pub(crate) enum Unwritten {
    OtherSecrets(&'static str),
    Impossible(anyhow::Error),
}

pub(crate) struct Composer {
    pub(crate) ring: Ring,
    pub(crate) sender: Sender,
    pub(crate) public_url: String,
}

impl Composer {
    pub(crate) fn compose(&self, message: Message, facts: &Facts) -> Result<Letter, Unwritten> {
        let (digits, not_me);
        let mail = match (message.kind, &facts.code) {
            (kind @ (Kind::SendCode | Kind::ResetCode), Some(code)) => {
                let key = self.key(code).map_err(Unwritten::OtherSecrets)?;
                if kind == Kind::SendCode && key.verifies(message.id, MUTED, &code.hash) {
                    return email::muted(&self.sender, &facts.email).map_err(Unwritten::Impossible);
                }
                digits = self.digits(key, message.id, code).map_err(Unwritten::OtherSecrets)?;
                let lifetime = Lifetime::of_seconds(facts.lifetime_seconds(code));
                let digits = digits.expose_secret();
                if kind == Kind::SendCode {
                    not_me = format!("{}{}{}", self.public_url, not_me_link::PATH, not_me_link::token(key, message.id));
                    Mail::Code { digits, lifetime, not_me: &not_me }
                } else {
                    Mail::ResetCode { digits, lifetime }
                }
            }
            (kind @ (Kind::AlreadyRegistered | Kind::NoAccount), Some(code)) => {
                // Nothing of it is mailed; but if codes must wait for a secret, so must this, or the wait would
                // tell who has an account.
                self.check_key(message.id, code, DECOY).map_err(Unwritten::OtherSecrets)?;
                if kind == Kind::NoAccount { Mail::NoAccount } else { Mail::AlreadyRegistered }
            }
            (Kind::Activated, None) => Mail::Activated,
            (Kind::PasswordChanged, None) => Mail::PasswordChanged,
            _ => return Err(Unwritten::Impossible(anyhow!("the facts are not those of such a message"))),
        };
        let outgoing = Outgoing { id: message.id, to: &facts.email, language: facts.language, mail };
        email::render(&self.sender, &self.public_url, &outgoing, facts.now).map_err(Unwritten::Impossible)
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
