//! The engines against each other, and against what everybody knows.

use proptest::prelude::*;

use super::*;

/// Some of the random hashes take more.
const KEPT: Costs = Costs { memory_kib: 200, passes: 1 };

#[test]
fn both_engines_agree_with_the_reference_in_c() {
    check(Costs { memory_kib: 64, passes: 2 }).unwrap();
}

/// On a password that everybody knows the hash of, or only at the costs that are set.
#[test]
fn an_engine_that_errs_stops_the_start_and_says_what_to_do() {
    let costs = Costs { memory_kib: 64, passes: 2 };
    for (errs, only_as_set, advice) in [
        (EngineKind::Fast, false, "PASSWORD_ENGINE=reference"),
        (EngineKind::Reference, false, "is broken"),
        (EngineKind::Fast, true, "PASSWORD_ENGINE=reference"),
    ] {
        let engine = |kind| {
            let mut engine = Engine::new(kind, USUAL);
            move |password: &[u8], recipe: &Recipe| {
                let mut tag = engine.hash(password, recipe)?;
                tag[31] ^= u8::from(kind == errs && (!only_as_set || password == b"vestibule"));
                Ok(tag)
            }
        };
        let said = agree(costs, engine).unwrap_err().to_string();
        assert!(said.contains(&errs.to_string()) && said.contains(advice), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// One engine for many costs, as in a thread of the pool: what is left from the last hash must not matter.
    #[test]
    fn both_engines_agree_on_anything(
        inputs in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..512), any::<[u8; 16]>(), 8_u32..300, 1_u32..4), 1..6),
    ) {
        let (mut fast, mut reference) = (Engine::new(EngineKind::Fast, KEPT), Engine::new(EngineKind::Reference, KEPT));
        for (password, salt, memory_kib, passes) in inputs {
            let recipe = Recipe { costs: Costs { memory_kib, passes }, salt };
            prop_assert_eq!(fast.hash(&password, &recipe).unwrap(), reference.hash(&password, &recipe).unwrap());
        }
    }
}

/// Our strings are everybody's strings: the reference's own verifier takes them.
#[test]
fn the_stored_form_is_the_one_that_others_read() {
    use argon2::password_hash::PasswordVerifier;

    use crate::domain::password::proof::Proof;
    let recipe = Recipe { costs: Costs { memory_kib: 19_456, passes: 2 }, salt: [1; 16] };
    let tag = Engine::new(EngineKind::Fast, recipe.costs).hash(b"correct horse", &recipe).unwrap();
    let stored = Proof::new(recipe, tag).to_stored().unwrap();
    assert!(Argon2::default().verify_password(b"correct horse", stored.as_str()).is_ok());
    assert!(Argon2::default().verify_password(b"correct horsf", stored.as_str()).is_err());
}
