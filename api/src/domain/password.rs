//! A password somebody gave, and what Argon2id made of it.

use std::fmt;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use unicode_normalization::{UnicodeNormalization, is_nfc};

mod choice;

const MAX_CHARACTERS: usize = 128;
const MAX_BYTES: usize = 512;

/// In NFC, so that the same keys pressed on two systems are the same password.
#[derive(Clone, Debug)]
pub(crate) struct Password(SecretString);

impl Password {
    /// A password somebody claims to have; `None` when it cannot be anybody's.
    pub(crate) fn given(given: &str) -> Option<Self> {
        // The limit comes first: normalising something endless would cost more than it may.
        if given.is_empty() || given.len() > MAX_BYTES {
            return None;
        }
        let nfc = if is_nfc(given) { given.to_owned() } else { given.nfc().collect() };
        (nfc.chars().count() <= MAX_CHARACTERS && nfc.len() <= MAX_BYTES).then(|| Self(nfc.into()))
    }
}

/// What a hash depends on beside the password. All hashes of one address are made with one recipe, so
/// that one computation tells for each of them whether the password is its own (see decision 0001).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    params: Params,
    salt: [u8; 16],
}

impl Recipe {
    pub(crate) fn new(salt: [u8; 16]) -> Self {
        Self { params: Params::DEFAULT, salt }
    }

    /// The recipe of a stored hash.
    pub(crate) fn of(stored: &str) -> Option<Self> {
        let hash = PasswordHash::new(stored).ok()?;
        let salt = hash.salt?.as_ref().try_into().ok()?;
        // Of the parameters only the costs matter here: parsing also notes the length of the tag.
        let params = Params::try_from(&hash).ok()?;
        let params = Params::new(params.m_cost(), params.t_cost(), params.p_cost(), None).ok()?;
        Some(Self { params, salt })
    }

    pub(crate) fn memory_blocks(&self) -> usize {
        self.params.block_count()
    }

    /// Slow by design. `memory` is scratch space of at least `memory_blocks`, reused from one password to the next.
    pub(crate) fn prove(&self, password: &Password, memory: &mut [Block]) -> Result<Proof, argon2::Error> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let mut tag = [0; Params::DEFAULT_OUTPUT_LEN];
        argon2.hash_password_into_with_memory(password.0.expose_secret().as_bytes(), &self.salt, &mut tag, memory)?;
        Ok(Proof { recipe: self.clone(), tag })
    }
}

/// What Argon2id made of a password: it can be stored, and compared with what was stored.
pub(crate) struct Proof {
    recipe: Recipe,
    tag: [u8; Params::DEFAULT_OUTPUT_LEN],
}

impl Proof {
    pub(crate) fn matches(&self, stored: &str) -> bool {
        let Ok(hash) = PasswordHash::new(stored) else { return false };
        let same_recipe = Recipe::of(stored).is_some_and(|recipe| recipe == self.recipe);
        same_recipe && hash.hash.is_some_and(|tag| tag.as_bytes().ct_eq(&self.tag).into())
    }

    /// The PHC string that is stored.
    pub(crate) fn to_stored(&self) -> anyhow::Result<String> {
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&self.recipe.params)?,
            salt: Some(Salt::new(&self.recipe.salt)?),
            hash: Some(Output::new(&self.tag)?),
        };
        Ok(hash.to_string())
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prove(password: &str, recipe: &Recipe) -> Proof {
        let mut memory = vec![Block::default(); recipe.memory_blocks()];
        recipe.prove(&Password::given(password).unwrap(), &mut memory).unwrap()
    }

    #[test]
    fn the_same_password_typed_on_two_systems_is_the_same() {
        let recipe = Recipe::new([1; 16]);
        assert!(prove("caf\u{e9} noir", &recipe).matches(&prove("cafe\u{301} noir", &recipe).to_stored().unwrap()));
    }

    #[test]
    fn a_proof_knows_its_own_password_and_recipe() {
        let recipe = Recipe::new([1; 16]);
        let stored = prove("correct horse", &recipe).to_stored().unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(Recipe::of(&stored).unwrap() == recipe);
        assert!(prove("correct horse", &recipe).matches(&stored));
        assert!(!prove("correct horsf", &recipe).matches(&stored));
        assert!(!prove("correct horse", &Recipe::new([2; 16])).matches(&stored));
        assert!(!prove("correct horse", &recipe).matches("not a hash"));
    }

    /// Our strings are everybody's strings: the reference's own verifier takes them.
    #[test]
    fn the_stored_form_is_the_one_that_others_read() {
        use argon2::password_hash::PasswordVerifier;
        let stored = prove("correct horse", &Recipe::new([1; 16])).to_stored().unwrap();
        let argon2 = Argon2::default();
        assert!(argon2.verify_password(b"correct horse", stored.as_str()).is_ok());
        assert!(argon2.verify_password(b"correct horsf", stored.as_str()).is_err());
    }
}
