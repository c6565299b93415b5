//! What Argon2id made of a password: it can be stored, and compared with what was stored.

use std::fmt;

use argon2::{
    Algorithm, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;

use super::recipe::Recipe;

pub(crate) type Tag = [u8; 32];

pub(crate) struct Proof {
    recipe: Recipe,
    tag: Tag,
}

impl Proof {
    pub(crate) fn new(recipe: Recipe, tag: Tag) -> Self {
        Self { recipe, tag }
    }

    pub(crate) fn matches(&self, stored: &str) -> bool {
        let Ok(hash) = PasswordHash::new(stored) else { return false };
        let same_recipe = Recipe::of_hash(&hash).is_some_and(|recipe| recipe == self.recipe);
        same_recipe && hash.hash.is_some_and(|tag| tag.as_bytes().ct_eq(&self.tag).into())
    }

    /// Whether that hash is of the same recipe, whatever its password.
    pub(crate) fn is_like(&self, stored: &str) -> bool {
        Recipe::of(stored).is_none_or(|recipe| recipe == self.recipe)
    }

    /// The PHC string that is stored.
    pub(crate) fn to_stored(&self) -> anyhow::Result<String> {
        let params = Params::new(self.recipe.costs.memory_kib, self.recipe.costs.passes, 1, None)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params)?,
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
    use crate::domain::password::recipe::Costs;

    fn proof(tag: u8, salt: u8) -> Proof {
        Proof::new(Recipe { costs: Costs { memory_kib: 19_456, passes: 2 }, salt: [salt; 16] }, [tag; 32])
    }

    #[test]
    fn a_proof_knows_its_own_tag_and_recipe() {
        let stored = proof(7, 1).to_stored().unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(Recipe::of(&stored).unwrap() == proof(7, 1).recipe);
        assert!(proof(7, 1).matches(&stored));
        assert!(!proof(8, 1).matches(&stored));
        assert!(!proof(7, 2).matches(&stored));
        assert!(!proof(7, 1).matches("not a hash"));
    }
}
