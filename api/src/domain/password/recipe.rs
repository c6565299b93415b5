//! What a hash depends on beside the password: its costs, and its salt.

use argon2::{Algorithm, Params, Version, password_hash::phc::PasswordHash};

/// What one Argon2id hash takes: so much memory, gone over so often, in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Costs {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
}

impl Costs {
    pub(crate) const LEAST_MEMORY_KIB: u32 = 8;
    pub(crate) const MOST_MEMORY_KIB: u32 = 1024 * 1024;
    pub(crate) const MOST_PASSES: u32 = 64;

    /// `None` for what nobody here would ask for: it would bind a thread, or take the memory of others.
    pub(crate) fn new(memory_kib: u32, passes: u32) -> Option<Self> {
        let bounded = (Self::LEAST_MEMORY_KIB..=Self::MOST_MEMORY_KIB).contains(&memory_kib)
            && (1..=Self::MOST_PASSES).contains(&passes);
        bounded.then_some(Self { memory_kib, passes })
    }

    /// How many KiB are filled in all: what the time of a hash is proportional to.
    pub(crate) fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// What must be filled beside these costs to take as long as the others would.
    pub(crate) fn short_of(self, others: Self) -> Option<Self> {
        let missing = others.work().checked_sub(self.work())?;
        let passes = u32::try_from(missing.div_ceil(others.memory_kib.into())).ok()?;
        let memory_kib = u32::try_from(missing / u64::from(passes.max(1))).ok()?;
        Self::new(memory_kib, passes)
    }
}

/// All hashes of one address are made with one recipe, so that one computation tells for each of them
/// whether the password is its own (see decision 0001).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) costs: Costs,
    pub(crate) salt: [u8; 16],
}

impl Recipe {
    /// The recipe of a stored hash.
    pub(crate) fn of(stored: &str) -> Option<Self> {
        Self::of_hash(&PasswordHash::new(stored).ok()?)
    }

    pub(crate) fn of_hash(hash: &PasswordHash) -> Option<Self> {
        let is_ours = hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(Version::V0x13.into());
        let params = Params::try_from(hash).ok().filter(|params| is_ours && params.p_cost() == 1)?;
        let salt = hash.salt?.as_ref().try_into().ok()?;
        Some(Self { costs: Costs::new(params.m_cost(), params.t_cost())?, salt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Costs = Costs { memory_kib: 19_456, passes: 2 };

    #[test]
    fn what_is_missing_to_a_cost_makes_up_for_it() {
        assert_eq!(USUAL.short_of(USUAL), None);
        assert_eq!(Costs { memory_kib: 65_536, passes: 3 }.short_of(USUAL), None);
        for (memory_kib, passes) in [(19_456, 1), (9_216, 4), (12_288, 3), (64, 1)] {
            let costs = Costs { memory_kib, passes };
            let filler = costs.short_of(USUAL).unwrap();
            assert!(filler.memory_kib <= USUAL.memory_kib);
            assert!(USUAL.work() - costs.work() - filler.work() < u64::from(filler.passes), "{costs:?}: {filler:?}");
        }
        // Too little to be worth a hash.
        assert_eq!(Costs { memory_kib: 19_455, passes: 2 }.short_of(USUAL), None);
    }

    #[test]
    fn a_recipe_is_read_from_what_is_stored() {
        let of = |params: &str| Recipe::of(&format!("$argon2id$v=19${params}$AQEBAQEBAQEBAQEBAQEBAQ"));
        assert!(of("m=19456,t=2,p=1") == Some(Recipe { costs: USUAL, salt: [1; 16] }));
        for params in ["m=19456,t=2,p=2", "m=4,t=2,p=1", "m=4294967295,t=2,p=1", "m=19456,t=65,p=1", "nonsense"] {
            assert!(of(params).is_none(), "{params}");
        }
        assert!(Recipe::of("$argon2i$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ").is_none());
        assert!(Recipe::of("$argon2id$v=16$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ").is_none());
    }
}
