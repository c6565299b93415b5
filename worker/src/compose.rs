//! Writes the letter that a message asks for: which words, with which digits, to whom.

use anyhow::anyhow;
use secrecy::{ExposeSecret, SecretString};
use shared::{
    code::{DECOY, Ring},
    message::{Kind, Message},
};
use uuid::Uuid;

use crate::{
    judge::{Code, Facts},
    mail::{self, Content, Outgoing, Sender},
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
        let digits;
        let content = match (message.kind, &facts.code) {
            (Kind::SendCode, Some(code)) => {
                digits = self.digits(message.id, code).map_err(Unwritten::OtherSecrets)?;
                Content::Code { digits: digits.expose_secret(), lifetime_seconds: facts.lifetime_seconds(code) }
            }
            (Kind::AlreadyRegistered, Some(code)) => {
                // Nothing of it is mailed; but if codes must wait for a secret, so must this, or the wait would
                // tell who has an account.
                self.check_key(message.id, code, DECOY).map_err(Unwritten::OtherSecrets)?;
                Content::AlreadyRegistered
            }
            (Kind::Activated, None) => Content::Activated,
            _ => return Err(Unwritten::Impossible(anyhow!("the facts are not those of such a message"))),
        };
        let mail = Outgoing { id: message.id, to: &facts.email, content };
        mail::render(&self.sender, &self.public_url, &mail, facts.now).map_err(Unwritten::Impossible)
    }

    fn digits(&self, id: Uuid, code: &Code) -> Result<SecretString, &'static str> {
        let key = self.ring.get(&code.key_id).ok_or(NO_KEY)?;
        let digits = key.digits(id, code.length);
        self.check_key(id, code, digits.expose_secret())?;
        Ok(digits)
    }

    fn check_key(&self, id: Uuid, code: &Code, digits: &str) -> Result<(), &'static str> {
        let key = self.ring.get(&code.key_id).ok_or(NO_KEY)?;
        if key.verifies(id, digits, &code.hash) { Ok(()) } else { Err("the key makes other digits") }
    }
}
