//! Tests the engines against each other, and against the reference implementation.

use proptest::prelude::*;

use super::*;

/// The memory that the engines keep. Some of the random hashes need more.
const KEPT_COSTS: Costs = Costs { memory_kib: 200, passes: 1 };

#[test]
fn both_engines_match_the_reference_test_vectors() {
    check(EngineKind::Fast, Costs { memory_kib: 64, passes: 2 }).unwrap();
}

/// With a wrong hash of a test vector, or only at the configured costs.
#[test]
fn faulty_engine_prevents_the_start_with_advice() {
    let costs = Costs { memory_kib: 64, passes: 2 };
    for (configured, faulty, only_at_configured_costs, advice) in [
        (EngineKind::Fast, EngineKind::Fast, false, Some("PASSWORD_ENGINE=reference")),
        (EngineKind::Fast, EngineKind::Reference, false, Some("is broken")),
        (EngineKind::Fast, EngineKind::Fast, true, Some("PASSWORD_ENGINE=reference")),
        (EngineKind::Reference, EngineKind::Reference, false, Some("is broken")),
        // The advice helps.
        (EngineKind::Reference, EngineKind::Fast, false, None),
    ] {
        let engine = |kind| {
            let mut engine = Engine::new(kind, DEFAULT_COSTS);
            move |password: &[u8], recipe: &Recipe| {
                let mut tag = engine.hash(password, recipe)?;
                tag[31] ^= u8::from(kind == faulty && (!only_at_configured_costs || password == b"vestibule"));
                Ok(tag)
            }
        };
        let result = check_engines(configured, costs, engine);
        let Some(advice) = advice else {
            result.unwrap();
            continue;
        };
        let error = result.unwrap_err().to_string();
        assert!(error.contains(&faulty.to_string()) && error.contains(advice), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// One engine for many costs, as in a thread of the pool: the memory of the last hash must not affect the next one.
    #[test]
    fn both_engines_agree_on_random_inputs(
        inputs in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..512), any::<[u8; 16]>(), 8_u32..300, 1_u32..4), 1..6),
    ) {
        let (mut fast, mut reference) = (Engine::new(EngineKind::Fast, KEPT_COSTS), Engine::new(EngineKind::Reference, KEPT_COSTS));
        for (password, salt, memory_kib, passes) in inputs {
            let recipe = Recipe { costs: Costs { memory_kib, passes }, salt };
            prop_assert_eq!(fast.hash(&password, &recipe).unwrap(), reference.hash(&password, &recipe).unwrap());
        }
    }
}

/// The verifier of the `argon2` crate accepts the stored strings.
#[test]
fn stored_hash_is_a_standard_phc_string() {
    use argon2::password_hash::PasswordVerifier;

    use crate::domain::password::computed_hash::ComputedHash;
    let recipe = Recipe { costs: Costs { memory_kib: 19_456, passes: 2 }, salt: [1; 16] };
    let tag = Engine::new(EngineKind::Fast, recipe.costs).hash(b"correct horse", &recipe).unwrap();
    let stored = ComputedHash::new(recipe, tag).to_stored().unwrap();
    assert!(Argon2::default().verify_password(b"correct horse", stored.as_str()).is_ok());
    assert!(Argon2::default().verify_password(b"correct horsf", stored.as_str()).is_err());
}
