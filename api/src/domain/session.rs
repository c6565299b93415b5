//! What stands for a person who logged in: a token that is told once, and lives for a while.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// 256 bits that nobody can guess. Whoever has them is the person.
#[derive(Debug)]
pub(crate) struct Token(SecretBox<[u8; 32]>);

/// All that is kept of a token. Bits that nobody can guess need no slow hash.
pub(crate) type TokenHash = [u8; 32];

impl Token {
    pub(crate) fn new(bits: [u8; 32]) -> Self {
        Self(SecretBox::new(Box::new(bits)))
    }

    /// A token somebody sent; `None` when it cannot be one. Each has one spelling.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let bits: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        Some(Self::new(bits))
    }

    /// For the answer to who logged in, and for nothing else.
    pub(crate) fn spell_out(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.expose_secret())
    }

    pub(crate) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.expose_secret()).into()
    }
}

/// Half open: what ends at a moment is over at that moment.
pub(crate) fn is_alive(expires_at: OffsetDateTime, now: OffsetDateTime) -> bool {
    now < expires_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, macros::datetime};

    #[test]
    fn a_token_has_one_spelling_and_is_never_printed() {
        let token = Token::new([0xFB; 32]);
        let text = token.spell_out();
        assert_eq!((text.len(), text.as_str()), (43, "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s"));
        assert_eq!(Token::parse(text.as_bytes()).unwrap().hash(), token.hash());
        assert_ne!(Token::new([0xFA; 32]).hash(), token.hash());
        assert_eq!(format!("{token:?}"), "Token(SecretBox<[u8; 32]>([REDACTED]))");
        let long = format!("{text}A");
        let padded = format!("{text}=");
        // The last one decodes to the same bits where nobody looks at those that are left over.
        let other = format!("{}t", &text[..42]);
        let standard = text.replace('-', "+").replace('_', "/");
        for odd in ["", "-", &text[..42], &long, &padded, &other, &standard, &format!(" {text}"), "é"] {
            assert!(Token::parse(odd.as_bytes()).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_session_is_over_at_the_moment_it_ends() {
        let end = datetime!(2026-11-21 12:00 UTC);
        assert!(is_alive(end, end - Duration::microseconds(1)));
        assert!(!is_alive(end, end));
    }
}
