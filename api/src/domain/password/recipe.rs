//! What an Argon2id hash depends on beside the password: its cost parameters and its salt.

use argon2::{Algorithm, Params, Version, password_hash::phc::PasswordHash};

/// The cost parameters of Argon2id: memory and passes. The number of lanes is always one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Costs {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
}

impl Costs {
    /// The minimum that Argon2 allows.
    pub(crate) const MIN_MEMORY_KIB: u32 = 8;
    /// The maximum that is accepted, also from stored hashes.
    pub(crate) const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    /// The maximum that is accepted, also from stored hashes.
    pub(crate) const MAX_PASSES: u32 = 64;

    /// `None` for parameters outside the limits: they would block a hash thread, or exhaust the memory.
    pub(crate) fn new(memory_kib: u32, passes: u32) -> Option<Self> {
        let bounded = (Self::MIN_MEMORY_KIB..=Self::MAX_MEMORY_KIB).contains(&memory_kib)
            && (1..=Self::MAX_PASSES).contains(&passes);
        bounded.then_some(Self { memory_kib, passes })
    }

    /// The KiB that are filled in all; the time of a hash is proportional to it.
    pub(crate) fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// The costs of an additional hash, so that both together take as long as one with `target`. `None` if these costs
    /// are not lower, or the difference is too small for a hash.
    pub(crate) fn padding_to(self, target: Self) -> Option<Self> {
        let missing = target.work().checked_sub(self.work())?;
        let passes = u32::try_from(missing.div_ceil(target.memory_kib.into())).ok()?;
        let memory_kib = u32::try_from(missing / u64::from(passes.max(1))).ok()?;
        Self::new(memory_kib, passes)
    }
}

/// The inputs of a hash beside the password: cost parameters and salt. All hashes of one email address have the same
/// recipe, so that a password is compared with all of them at the cost of one hash (see decision 0001).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) costs: Costs,
    pub(crate) salt: [u8; 16],
}

impl Recipe {
    /// The recipe of a stored hash; `None` if this service did not make it.
    pub(crate) fn of(stored: &str) -> Option<Self> {
        Self::of_hash(&PasswordHash::new(stored).ok()?)
    }

    /// Like [`Self::of`], for a parsed hash.
    pub(crate) fn of_hash(hash: &PasswordHash) -> Option<Self> {
        let is_supported = hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(Version::V0x13.into());
        let params = Params::try_from(hash).ok().filter(|params| is_supported && params.p_cost() == 1)?;
        let salt = hash.salt?.as_ref().try_into().ok()?;
        Some(Self { costs: Costs::new(params.m_cost(), params.t_cost())?, salt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT_COSTS: Costs = Costs { memory_kib: 19_456, passes: 2 };

    #[test]
    fn padding_makes_up_for_lower_costs() {
        assert_eq!(DEFAULT_COSTS.padding_to(DEFAULT_COSTS), None);
        assert_eq!(Costs { memory_kib: 65_536, passes: 3 }.padding_to(DEFAULT_COSTS), None);
        for (memory_kib, passes) in [(19_456, 1), (9_216, 4), (12_288, 3), (64, 1)] {
            let costs = Costs { memory_kib, passes };
            let padding = costs.padding_to(DEFAULT_COSTS).unwrap();
            assert!(padding.memory_kib <= DEFAULT_COSTS.memory_kib);
            assert!(
                DEFAULT_COSTS.work() - costs.work() - padding.work() < u64::from(padding.passes),
                "{costs:?}: {padding:?}"
            );
        }
        // The difference is too small for a hash.
        assert_eq!(Costs { memory_kib: 19_455, passes: 2 }.padding_to(DEFAULT_COSTS), None);
    }

    #[test]
    fn costs_are_bounded() {
        let is_valid = |(memory_kib, passes)| Costs::new(memory_kib, passes).is_some();
        assert_eq!([(8, 1), (1_048_576, 64)].map(is_valid), [true, true]);
        assert_eq!([(7, 1), (8, 0), (1_048_577, 64), (1_048_576, 65)].map(is_valid), [false; 4]);
    }

    #[test]
    fn work_is_memory_times_passes() {
        assert_eq!(DEFAULT_COSTS.work(), 38_912);
        assert_eq!(Costs { memory_kib: u32::MAX, passes: 2 }.work(), 8_589_934_590);
    }

    #[test]
    fn recipe_is_parsed_from_a_stored_hash() {
        let of = |params: &str| Recipe::of(&format!("$argon2id$v=19${params}$AQEBAQEBAQEBAQEBAQEBAQ"));
        assert!(of("m=19456,t=2,p=1") == Some(Recipe { costs: DEFAULT_COSTS, salt: [1; 16] }));
        for params in ["m=19456,t=2,p=2", "m=4,t=2,p=1", "m=4294967295,t=2,p=1", "m=19456,t=65,p=1", "nonsense"] {
            assert!(of(params).is_none(), "{params}");
        }
        assert!(Recipe::of("$argon2i$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ").is_none());
        assert!(Recipe::of("$argon2id$v=16$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ").is_none());
    }
}
