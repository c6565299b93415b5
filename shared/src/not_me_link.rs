//! The link by which whoever reads a code mail says that it was not them: the worker writes it, the API reads it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::codes::{CodeSecrets, Key};

/// Where the page is, before its token.
pub const PATH: &str = "/not-me/";

const ID_BYTES: usize = 16;

/// Names the code, and proves that its mail was read; it is good for nothing else. 256 bits, half of which nobody can
/// guess.
pub fn token(key: &Key, code: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([*code.as_bytes(), proof(key, code)].concat())
}

/// The code that this token was made for, if it was made with one of these keys. No database is asked.
pub fn read(ring: &CodeSecrets, token: &str) -> Option<Uuid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (id, given) = bytes.split_at_checked(ID_BYTES)?;
    let code = Uuid::from_slice(id).ok()?;
    let is_by = |key: &Key| bool::from(proof(key, code).ct_eq(given));
    ring.0.iter().any(is_by).then_some(code)
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

    fn two() -> CodeSecrets {
        ring("b:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=,a:CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=")
    }

    #[test]
    fn a_token_is_read_as_long_as_its_key_is_in_the_ring() {
        let two = two();
        for key in [two.newest(), two.oldest()] {
            assert_eq!(read(&two, &token(key, CODE)), Some(CODE));
        }
        assert_ne!(token(two.newest(), CODE), token(two.oldest(), CODE));
        let left = ring("b:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(read(&left, &token(two.oldest(), CODE)), None);
    }

    #[test]
    fn nothing_else_is_a_token() {
        let two = two();
        let token = token(two.newest(), CODE);
        assert_eq!(token.len(), 43);
        for place in 0..token.len() {
            for other in ["A", "B", "z", "-", "=", "%", "é", ""] {
                let forged = format!("{}{other}{}", &token[..place], &token[place + 1..]);
                assert!(forged == token || read(&two, &forged).is_none(), "{forged}");
            }
            assert_eq!(read(&two, &token[..place]), None);
        }
        for longer in [format!("{token}A"), format!("{token}AA"), format!("{token}="), format!(" {token}")] {
            assert_eq!(read(&two, &longer), None, "{longer}");
        }
    }
}
