//! Derivation and verification of codes. Codes are never stored: the digits follow from the id of a code and a secret.

use secrecy::SecretString;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::secret_key::SecretKey;

/// Used in place of the digits for the code of an email address that already has an account. It cannot be entered as a
/// code, and a process that has the key recognises the verifier of a decoy.
pub const DECOY: &str = "decoy";

/// Like [`DECOY`], for a code that is not mailed because sign-up mails to its email address are suppressed.
pub const MUTED: &str = "muted";

/// The key ring of `CODE_SECRETS`, newest key first.
///
/// The row of a code names the key that the code was derived with, so a new key can be added in front while codes of
/// the old one are still valid, and the old one removed when they have expired.
#[derive(Debug)]
pub struct CodeSecrets(pub(crate) Vec<Key>);

/// One secret of the key ring, with its id.
#[derive(Debug)]
pub struct Key {
    /// Stored in the database with everything that was derived with this key.
    pub id: String,
    secret: SecretKey,
}

impl CodeSecrets {
    /// Parses `id:base64,id:base64`. The error never contains the value.
    pub fn parse(list: &str) -> Result<Self, String> {
        let keys = list.split(',').map(Key::parse).collect::<Result<Vec<_>, _>>()?;
        let distinct: std::collections::HashSet<_> = keys.iter().map(|key| &key.id).collect();
        if distinct.len() < keys.len() {
            return Err("two secrets have the same id".into());
        }
        Ok(Self(keys))
    }

    /// Whether the ring contains the public secret of `.env.example`.
    pub fn has_example(&self) -> bool {
        self.0.iter().any(|key| key.secret.is_example())
    }

    /// The key for new codes.
    pub fn newest(&self) -> &Key {
        &self.0[0]
    }

    /// The key with this id, if it is still in the ring.
    pub fn get(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl Key {
    fn parse(entry: &str) -> Result<Self, String> {
        let (id, secret) = entry.trim().split_once(':').ok_or("it must be a list of id:base64")?;
        if id.is_empty() || id.len() > 32 {
            return Err("the id of a secret must have 1 to 32 characters".into());
        }
        let secret = SecretKey::parse(secret).map_err(|problem| format!("the secret '{id}' {problem}"))?;
        Ok(Self { id: id.to_owned(), secret })
    }

    /// The digits of a code, uniformly distributed over the 10^`length` possibilities.
    pub fn digits(&self, code: Uuid, length: u8) -> SecretString {
        let possibilities = 10_u64.pow(u32::from(length));
        let draw = |number: u32| {
            let mac = self.mac("vestibule/digits/1", &[code.as_bytes(), &number.to_be_bytes()]);
            fair_remainder(u64::from_be_bytes(std::array::from_fn(|i| mac[i])), possibilities)
        };
        // Fewer than one draw of 10^9 is repeated, so one of the first is fair.
        let number = (0..16).find_map(draw).unwrap_or_default();
        format!("{number:0width$}", width = usize::from(length)).into()
    }

    /// The keyed hash that Postgres stores to verify the digits of this code.
    pub fn verifier(&self, code: Uuid, digits: &str) -> [u8; 32] {
        self.mac("vestibule/verifier/1", &[code.as_bytes(), digits.as_bytes()])
    }

    /// Whether these are the digits of the code with this verifier; compares in constant time.
    pub fn verifies(&self, code: Uuid, digits: &str, verifier: &[u8]) -> bool {
        self.verifier(code, digits).ct_eq(verifier).into()
    }

    /// The keyed hash of the parts for this purpose; see [`SecretKey::mac`].
    pub(crate) fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        self.secret.mac(purpose, parts)
    }
}

/// The remainder of a random number; `None` at or above the largest multiple of the divisor, where it would favour small
/// remainders.
fn fair_remainder(random: u64, divisor: u64) -> Option<u64> {
    let fair_below = u64::MAX - u64::MAX % divisor;
    (random < fair_below).then_some(random % divisor)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use secrecy::ExposeSecret;

    use super::*;

    fn ring() -> CodeSecrets {
        let secret = BASE64_STANDARD.encode([7_u8; 32]);
        let older = BASE64_STANDARD.encode([8_u8; 32]);
        CodeSecrets::parse(&format!("b:{secret}, a:{older}")).unwrap()
    }

    #[test]
    fn ring_is_ordered_newest_first() {
        assert_eq!(ring().newest().id, "b");
        assert!(ring().get("a").is_some() && ring().get("c").is_none());
    }

    #[test]
    fn id_of_a_secret_has_one_to_32_characters() {
        let parse = |id: &str| CodeSecrets::parse(&format!("{id}:{}", BASE64_STANDARD.encode([7_u8; 32])));
        assert!(parse("a").is_ok() && parse(&"a".repeat(32)).is_ok());
        for id in [String::new(), "a".repeat(33), "a".repeat(40)] {
            assert_eq!(parse(&id).unwrap_err(), "the id of a secret must have 1 to 32 characters", "{id}");
        }
    }

    #[test]
    fn example_secret_is_recognised_anywhere_in_the_ring() {
        let example = BASE64_STANDARD.encode("example-secret-do-not-use-in-prod");
        let other = BASE64_STANDARD.encode([7_u8; 32]);
        assert!(CodeSecrets::parse(&format!("a:{other},b:{example}")).unwrap().has_example());
        assert!(!ring().has_example());
    }

    #[test]
    fn invalid_secrets_are_rejected_without_being_repeated() {
        for (list, why) in [
            ("", "it must be a list of id:base64"),
            ("a:%%%", "the secret 'a' is not base64"),
            ("a:c2hvcnQ=", "the secret 'a' has 5 bytes, at least 32 are needed"),
        ] {
            assert_eq!(CodeSecrets::parse(list).unwrap_err(), why);
        }
        let secret = BASE64_STANDARD.encode([7_u8; 32]);
        assert_eq!(CodeSecrets::parse(&format!("a:{secret},a:{secret}")).unwrap_err(), "two secrets have the same id");
    }

    #[test]
    fn digits_follow_from_the_id_and_differ_by_key() {
        let (ring, id) = (ring(), Uuid::from_u128(1));
        let digits = |key: &Key| key.digits(id, 8).expose_secret().to_owned();
        assert_eq!(digits(ring.newest()), digits(ring.newest()));
        assert_ne!(digits(ring.newest()), digits(ring.get("a").unwrap()));
    }

    /// The worker mails the digits that the API compares, also while the two have different versions.
    #[test]
    fn digits_and_verifier_of_a_code_never_change() {
        let ring = ring();
        let digits = [4, 6, 8, 10].map(|length| ring.newest().digits(Uuid::from_u128(1), length));
        assert_eq!(digits.each_ref().map(ExposeSecret::expose_secret), ["8318", "228318", "02228318", "4302228318"]);
        let verifier = ring.newest().verifier(Uuid::from_u128(1), "0042").map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(verifier, "cfd603253b43fa13dd57a956403a3410415eab78c364f74c21303eb7f73da799");
    }

    #[test]
    fn random_numbers_above_the_largest_multiple_are_drawn_again() {
        // u64::MAX is 18 446 744 073 709 551 615.
        let largest = 18_446_744_073_709_550_000;
        assert_eq!(fair_remainder(largest - 1, 10_000), Some(9_999));
        assert_eq!([largest, largest + 1, u64::MAX].map(|random| fair_remainder(random, 10_000)), [None; 3]);
        assert_eq!([0, 10_042].map(|random| fair_remainder(random, 10_000)), [0, 42].map(Some));
    }

    #[test]
    fn verifier_matches_only_its_own_digits() {
        let (ring, id) = (ring(), Uuid::from_u128(1));
        let verifier = ring.newest().verifier(id, "0042");
        assert!(ring.newest().verifies(id, "0042", &verifier));
        assert!(!ring.newest().verifies(id, "0043", &verifier));
        assert!(!ring.newest().verifies(Uuid::from_u128(2), "0042", &verifier));
        assert!(!ring.get("a").unwrap().verifies(id, "0042", &verifier));
    }

    /// A chi-squared test over the four digit positions of 20 000 codes; codes of every length keep their leading
    /// zeros.
    #[test]
    fn s_29_digits_are_uniform_and_keep_their_leading_zeros() {
        let ring = ring();
        let mut counts = [[0_u32; 10]; 4];
        for n in 0..20_000_u128 {
            let digits = ring.newest().digits(Uuid::from_u128(n), 4);
            assert_eq!(digits.expose_secret().len(), 4);
            for (position, digit) in digits.expose_secret().bytes().enumerate() {
                counts[position][usize::from(digit - b'0')] += 1;
            }
        }
        for position in counts {
            let chi_squared: f64 = position.iter().map(|&count| (f64::from(count) - 2000.0).powi(2) / 2000.0).sum();
            assert!(chi_squared < 33.7, "{position:?}"); // 9 degrees of freedom, p = 0.0001; the ids are fixed
        }
        assert_eq!(ring.newest().digits(Uuid::from_u128(1), 10).expose_secret().len(), 10);
    }
}
