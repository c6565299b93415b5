//! Session tokens: returned once at login, stored only as a hash, valid until they expire.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// A session token of 256 random bits. A client that presents it is authenticated as the user.
#[derive(Debug)]
pub(crate) struct Token(SecretBox<[u8; 32]>);

/// SHA-256 of a token, which is stored instead of it. Random bits need no slow hash.
pub(crate) type TokenHash = [u8; 32];

impl Token {
    /// Creates a token from random bits.
    pub(crate) fn new(bits: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bits)))
    }

    /// Parses the token of a request; `None` when it is malformed. Each token has exactly one valid spelling.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let bits: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        Some(Self::new(bits))
    }

    /// The text of the token, for the response to the login and nothing else.
    pub(crate) fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.expose_secret())
    }

    /// The hash under which the session is stored.
    pub(crate) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.expose_secret()).into()
    }
}

/// Whether a session is valid at `now`. The interval is half open: at `expires_at` it has expired.
pub(crate) fn is_valid(expires_at: OffsetDateTime, now: OffsetDateTime) -> bool {
    now < expires_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, macros::datetime};

    #[test]
    fn token_has_one_spelling_and_masked_debug_output() {
        let token = Token::new([0xFB; 32]);
        let text = token.expose();
        assert_eq!((text.len(), text.as_str()), (43, "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s"));
        assert_eq!(Token::parse(text.as_bytes()).unwrap().hash(), token.hash());
        assert_ne!(Token::new([0xFA; 32]).hash(), token.hash());
        assert_eq!(format!("{token:?}"), "Token(SecretBox<[u8; 32]>([REDACTED]))");
        let long = format!("{text}A");
        let padded = format!("{text}=");
        // A lenient decoder ignores the unused bits of the last character, and would decode this to the same token.
        let other_trailing_bits = format!("{}t", &text[..42]);
        let standard = text.replace('-', "+").replace('_', "/");
        for invalid in ["", "-", &text[..42], &long, &padded, &other_trailing_bits, &standard, &format!(" {text}"), "é"]
        {
            assert!(Token::parse(invalid.as_bytes()).is_none(), "{invalid}");
        }
    }

    #[test]
    fn session_expires_exactly_at_its_end() {
        let end = datetime!(2026-11-21 12:00 UTC);
        assert!(is_valid(end, end - Duration::microseconds(1)));
        assert!(!is_valid(end, end));
    }
}
