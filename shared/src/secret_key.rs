//! Secret keys of keyed hashes (HMAC-SHA-256).

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

const MIN_BYTES: usize = 32;

/// The key of `.env.example`, which is public.
const EXAMPLE: &[u8] = b"example-secret-do-not-use-in-prod";

/// A secret key of at least 32 bytes.
#[derive(Debug)]
pub struct SecretKey(SecretSlice<u8>);

impl SecretKey {
    /// Parses base64. The error completes a sentence that begins with the name of the key, and never contains the value.
    pub fn parse(base64: &str) -> Result<Self, String> {
        let bytes = BASE64_STANDARD.decode(base64.trim()).map_err(|_| "is not base64".to_owned())?;
        if bytes.len() < MIN_BYTES {
            return Err(format!("has {} bytes, at least {MIN_BYTES} are needed", bytes.len()));
        }
        Ok(Self(bytes.into()))
    }

    /// Whether this is the public key of `.env.example`.
    pub fn is_example(&self) -> bool {
        self.0.expose_secret() == EXAMPLE
    }

    /// HMAC-SHA-256 of the parts, separated by purpose. Callers with variable-length parts must delimit them.
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        // HMAC takes keys of any length; the constructor cannot fail.
        #[expect(clippy::expect_used, reason = "an HMAC key may have any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_depends_on_the_purpose_but_not_on_part_borders() {
        let key = SecretKey::parse(&BASE64_STANDARD.encode([7_u8; 32])).unwrap();
        assert_eq!(key.mac("a", &[b"bc", b"d"]), key.mac("a", &[b"b", b"cd"]));
        assert_ne!(key.mac("a", &[b"bc"]), key.mac("ab", &[b"c"]));
    }

    #[test]
    fn key_has_at_least_32_bytes() {
        let parse = |bytes| SecretKey::parse(&BASE64_STANDARD.encode(vec![7_u8; bytes]));
        assert!([32, 33, 64].into_iter().all(|bytes| parse(bytes).is_ok()));
        for bytes in [0, 31] {
            assert_eq!(parse(bytes).unwrap_err(), format!("has {bytes} bytes, at least 32 are needed"));
        }
    }

    #[test]
    fn both_example_keys_are_recognised() {
        let settings = include_str!("../../.env.example");
        let value = |name: &str| settings.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        for example in [value("CODE_SECRETS=example:"), value("SUBJECT_KEY=")] {
            assert!(SecretKey::parse(example).unwrap().is_example());
        }
        assert!(!SecretKey::parse(&BASE64_STANDARD.encode([7_u8; 32])).unwrap().is_example());
    }
}
