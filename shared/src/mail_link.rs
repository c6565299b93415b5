//! Links in mails, by which the reader of a mailbox acts on what a stranger may have caused. The worker creates their
//! tokens, the API verifies them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::codes::{CodeSecrets, Key};

/// The kinds of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailLink {
    /// The owner of the mailbox reports that they did not cause the mail.
    NotMe,
    /// The owner of a locked account lets one browser in.
    Unlock,
}

const ID_BYTES: usize = 16;

impl MailLink {
    /// The path of the page, without the token.
    pub const fn path(self) -> &'static str {
        match self {
            Self::NotMe => "/not-me/",
            Self::Unlock => "/unlock/",
        }
    }

    /// The URL of the page for the mail with this message id.
    pub fn url(self, public_url: &str, key: &Key, id: Uuid) -> String {
        format!("{public_url}{}{}", self.path(), self.token(key, id))
    }

    /// A token that identifies a message and proves that its mail was read; it authorises nothing else. It has 256 bits,
    /// of which 128 cannot be guessed.
    pub fn token(self, key: &Key, id: Uuid) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([*id.as_bytes(), self.proof(key, id)].concat())
    }

    /// The message id of a token, if the token was created with a key of this ring. Does not access the database.
    pub fn read(self, ring: &CodeSecrets, token: &str) -> Option<Uuid> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, proof_given) = bytes.split_at_checked(ID_BYTES)?;
        let id = Uuid::from_slice(id).ok()?;
        let is_signed_by = |key: &Key| bool::from(self.proof(key, id).ct_eq(proof_given));
        ring.0.iter().any(is_signed_by).then_some(id)
    }

    fn proof(self, key: &Key, id: Uuid) -> [u8; 16] {
        let purpose = match self {
            Self::NotMe => "vestibule/not-me/1",
            Self::Unlock => "vestibule/unlock/1",
        };
        let mac = key.mac(purpose, &[id.as_bytes()]);
        std::array::from_fn(|i| mac[i])
    }
}

#[cfg(test)]
mod tests {
    use super::{MailLink::*, *};

    const CODE: Uuid = Uuid::from_u128(0x0195_0000_0000_7000_8000_0000_0000_0001);

    fn ring(list: &str) -> CodeSecrets {
        CodeSecrets::parse(list).unwrap()
    }

    fn two_keys() -> CodeSecrets {
        ring("b:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=,a:CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=")
    }

    #[test]
    fn token_is_valid_while_its_key_is_in_the_ring() {
        let two = two_keys();
        let older = two.get("a").unwrap();
        for key in [two.newest(), older] {
            assert_eq!(NotMe.read(&two, &NotMe.token(key, CODE)), Some(CODE));
        }
        assert_ne!(NotMe.token(two.newest(), CODE), NotMe.token(older, CODE));
        let rotated = ring("b:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(NotMe.read(&rotated, &NotMe.token(older, CODE)), None);
    }

    #[test]
    fn url_is_the_page_of_its_kind_with_the_token() {
        let two = two_keys();
        let key = two.newest();
        let url = |link: MailLink| link.url("https://accounts.example.com", key, CODE);
        assert_eq!(url(NotMe), format!("https://accounts.example.com/not-me/{}", NotMe.token(key, CODE)));
        assert_eq!(url(Unlock), format!("https://accounts.example.com/unlock/{}", Unlock.token(key, CODE)));
    }

    #[test]
    fn token_of_one_kind_is_none_of_another() {
        let two = two_keys();
        assert_eq!(Unlock.read(&two, &NotMe.token(two.newest(), CODE)), None);
        assert_eq!(Unlock.read(&two, &Unlock.token(two.newest(), CODE)), Some(CODE));
    }

    #[test]
    fn modified_token_is_rejected() {
        let two = two_keys();
        let token = NotMe.token(two.newest(), CODE);
        assert_eq!(token.len(), 43);
        for position in 0..token.len() {
            for other in ["A", "B", "z", "-", "=", "%", "é", ""] {
                let forged = format!("{}{other}{}", &token[..position], &token[position + 1..]);
                assert!(forged == token || NotMe.read(&two, &forged).is_none(), "{forged}");
            }
            assert_eq!(NotMe.read(&two, &token[..position]), None);
        }
        for longer in [format!("{token}A"), format!("{token}AA"), format!("{token}="), format!(" {token}")] {
            assert_eq!(NotMe.read(&two, &longer), None, "{longer}");
        }
    }
}
