//! The computed Argon2id hash of a password: can be stored, and verified against stored hashes in constant time.

use std::fmt;

use argon2::{
    Algorithm, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;

use super::recipe::Recipe;

/// The output of Argon2id.
pub(crate) type Tag = [u8; 32];

/// A computed password hash: its tag, and the recipe (parameters and salt) that it was made with.
pub(crate) struct ComputedHash {
    recipe: Recipe,
    tag: Tag,
}

impl ComputedHash {
    /// The hash `tag` that was computed with `recipe`.
    pub(crate) fn new(recipe: Recipe, tag: Tag) -> Self {
        Self { recipe, tag }
    }

    /// Whether the stored hash is of the same password, in constant time. The recipes must be the same, too.
    pub(crate) fn matches(&self, stored: &str) -> bool {
        let Ok(hash) = PasswordHash::new(stored) else { return false };
        let same_recipe = Recipe::of_hash(&hash).is_some_and(|recipe| recipe == self.recipe);
        same_recipe && hash.hash.is_some_and(|tag| tag.as_bytes().ct_eq(&self.tag).into())
    }

    /// Whether the stored hash was made with the same recipe, whatever its password.
    pub(crate) fn has_same_recipe(&self, stored: &str) -> bool {
        Recipe::of(stored).is_none_or(|recipe| recipe == self.recipe)
    }

    /// The PHC string to store.
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

impl fmt::Debug for ComputedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ComputedHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::password::recipe::Costs;

    fn computed(tag: u8, salt: u8) -> ComputedHash {
        ComputedHash::new(Recipe { costs: Costs { memory_kib: 19_456, passes: 2 }, salt: [salt; 16] }, [tag; 32])
    }

    #[test]
    fn hash_matches_only_its_own_tag_and_recipe() {
        let stored = computed(7, 1).to_stored().unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(Recipe::of(&stored).unwrap() == computed(7, 1).recipe);
        assert!(computed(7, 1).matches(&stored));
        assert!(!computed(8, 1).matches(&stored));
        assert!(!computed(7, 2).matches(&stored));
        assert!(!computed(7, 1).matches("not a hash"));
    }

    #[test]
    fn recipe_is_compared_whatever_the_password() {
        let stored = computed(7, 1).to_stored().unwrap();
        assert!(computed(8, 1).has_same_recipe(&stored));
        assert!(!computed(7, 2).has_same_recipe(&stored));
        assert!(computed(7, 1).has_same_recipe("not a hash"), "no recipe differs from it");
    }

    #[test]
    fn debug_output_contains_no_hash() {
        assert_eq!(format!("{:?}", computed(7, 1)), "ComputedHash(…)");
    }
}
