//! Token of the not-me link in a code mail, by which the owner of an email address reports that they did not sign up.
//! The worker creates the token, the API verifies it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::codes::{CodeSecrets, Key};

/// The path of the not-me page, without the token.
pub const PATH: &str = "/not-me/";

const ID_BYTES: usize = 16;

/// A token that identifies a code and proves that its mail was read; it authorises nothing else. It has 256 bits, of
/// which 128 cannot be guessed.
pub fn token(key: &Key, code: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([*code.as_bytes(), proof(key, code)].concat())
}

/// The code of a token, if the token was created with a key of this ring. Does not access the database.
pub fn read(ring: &CodeSecrets, token: &str) -> Option<Uuid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (id, proof_given) = bytes.split_at_checked(ID_BYTES)?;
    let code = Uuid::from_slice(id).ok()?;
    let is_signed_by = |key: &Key| bool::from(proof(key, code).ct_eq(proof_given));
    ring.0.iter().any(is_signed_by).then_some(code)
}

fn proof(key: &Key, code: Uuid) -> [u8; 16] {
    let mac = key.mac("vestibule/not-me/1", &[code.as_bytes()]);
    std::array::from_fn(|i| mac[i])
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(read(&two, &token(key, CODE)), Some(CODE));
        }
        assert_ne!(token(two.newest(), CODE), token(older, CODE));
        let rotated = ring("b:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(read(&rotated, &token(older, CODE)), None);
    }

    #[test]
    fn modified_token_is_rejected() {
        let two = two_keys();
        let token = token(two.newest(), CODE);
        assert_eq!(token.len(), 43);
        for position in 0..token.len() {
            for other in ["A", "B", "z", "-", "=", "%", "é", ""] {
                let forged = format!("{}{other}{}", &token[..position], &token[position + 1..]);
                assert!(forged == token || read(&two, &forged).is_none(), "{forged}");
            }
            assert_eq!(read(&two, &token[..position]), None);
        }
        for longer in [format!("{token}A"), format!("{token}AA"), format!("{token}="), format!(" {token}")] {
            assert_eq!(read(&two, &longer), None, "{longer}");
        }
    }
}
