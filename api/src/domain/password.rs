//! Passwords: parsing, the rules for new ones, and the data of their Argon2id hashes.

use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::{UnicodeNormalization, is_nfc};

pub(crate) mod common_passwords;
pub(crate) mod computed_hash;
pub(crate) mod recipe;
mod rules;

const MAX_CHARACTERS: usize = 128;
const MAX_BYTES: usize = 512;

/// A password in Unicode NFC, so that the same keys pressed on two systems are the same password.
#[derive(Clone, Debug)]
pub(crate) struct Password(SecretString);

impl Password {
    /// Parses a password to verify; `None` when no account can have it.
    pub(crate) fn parse(given: &str) -> Option<Self> {
        // The limit comes first: normalising an unbounded input would be too expensive.
        if given.is_empty() || given.len() > MAX_BYTES {
            return None;
        }
        let nfc = if is_nfc(given) { given.to_owned() } else { given.nfc().collect() };
        (nfc.chars().count() <= MAX_CHARACTERS && nfc.len() <= MAX_BYTES).then(|| Self(nfc.into()))
    }

    /// The bytes that are hashed.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_forms_of_a_password_are_equal() {
        let bytes = |given: &str| Password::parse(given).unwrap().bytes().to_vec();
        assert_eq!(bytes("caf\u{e9} noir"), bytes("cafe\u{301} noir"));
        assert_ne!(bytes("cafe noir"), bytes("caf\u{e9} noir"));
    }

    #[test]
    fn password_has_one_to_128_characters() {
        let is_valid = |characters| Password::parse(&"é".repeat(characters)).is_some();
        assert_eq!([0, 1, 128, 129, 200].map(is_valid), [false, true, true, false, false]);
    }

    /// Each input is 106 characters of 310 bytes in NFC: the limit applies before the normalisation.
    #[test]
    fn submitted_password_has_at_most_512_bytes() {
        let is_valid = |end: &str| Password::parse(&format!("{}{end}", "a\u{323}\u{302}".repeat(102))).is_some();
        assert_eq!(["12", "123", "1234"].map(is_valid), [true, false, false]);
    }
}
