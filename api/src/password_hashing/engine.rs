//! The two Argon2id implementations, and the self-test that both compute the same (see decision 0012).

use std::fmt;

use anyhow::{Result, ensure};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use argon2_rust::Hasher;

use crate::domain::password::{
    computed_hash::Tag,
    recipe::{Costs, Recipe},
};

/// Which implementation is used (`PASSWORD_ENGINE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Fast,
    Reference,
}

/// The Argon2id engine of one thread. It keeps its memory from one password to the next, and wipes it after each.
pub(crate) struct Engine {
    memory: Memory,
    /// A hash that needs more memory gets it for this one time: a stored hash must not decide how much a thread keeps.
    keeps_kib: u32,
}

enum Memory {
    Fast(Box<Hasher>),
    Reference(Vec<Block>),
}

const DEFAULT_COSTS: Costs = Costs { memory_kib: 19_456, passes: 2 };

struct TestVector {
    password: &'static [u8],
    salt: [u8; 16],
    costs: Costs,
    tag_hex: &'static str,
}

/// Hashes computed by the reference implementation in C.
const TEST_VECTORS: [TestVector; 3] = [
    TestVector {
        password: b"correct horse battery staple",
        salt: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        costs: DEFAULT_COSTS,
        tag_hex: "818259b6310026a8e0dbac5d2e6927abcfdb07b32258fac4f61b18b80f929085",
    },
    TestVector {
        password: b"p",
        salt: [255; 16],
        costs: Costs { memory_kib: 8, passes: 1 },
        tag_hex: "8a4faff35dfcbfccc35dec91cdc54b47ec21dbfabc65e2e7b56bcc1879c6b9f0",
    },
    TestVector {
        password: &[b'7'; 500],
        salt: *b"vestibule.salt.1",
        costs: Costs { memory_kib: 1_024, passes: 3 },
        tag_hex: "f7c1f4df337a1eea8f0a7b8f9a97b1eabeeed45dc8b168c2628862df6fb6b073",
    },
];

/// The self-test of the configured engine at start. It must agree with the reference implementation, and the fast one
/// also with the other engine at the configured costs: hashes that no other implementation can compute would lock out
/// all users when the engine is changed. A fault of an engine that is not used is no obstacle.
pub(crate) fn check(configured: EngineKind, costs: Costs) -> Result<()> {
    check_engines(configured, costs, |kind| {
        // One engine for all hashes, with memory for the largest, which is freed as one piece: memory that is freed in
        // several pieces may stay with the process forever.
        let mut engine =
            Engine::new(kind, if costs.memory_kib < DEFAULT_COSTS.memory_kib { DEFAULT_COSTS } else { costs });
        move |password, recipe| engine.hash(password, recipe)
    })
}

fn check_engines<H>(configured: EngineKind, costs: Costs, new_engine: impl Fn(EngineKind) -> H) -> Result<()>
where
    H: FnMut(&[u8], &Recipe) -> Result<Tag>,
{
    let recipe = Recipe { costs, salt: *b"the costs as set" };
    let mut tags = Vec::new();
    let kinds: &[_] = match configured {
        EngineKind::Fast => &[EngineKind::Fast, EngineKind::Reference],
        EngineKind::Reference => &[EngineKind::Reference],
    };
    for &kind in kinds {
        let mut hash = new_engine(kind);
        tags.push(hash(b"vestibule", &recipe)?);
        for TestVector { password, salt, costs, tag_hex } in TEST_VECTORS {
            let tag = hash(password, &Recipe { costs, salt })?;
            let same = tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == tag_hex;
            ensure!(same, "{}", wrong_hash_error(kind));
        }
    }
    ensure!(tags.iter().all(|tag| *tag == tags[0]), "{}", wrong_hash_error(EngineKind::Fast));
    Ok(())
}

fn wrong_hash_error(kind: EngineKind) -> String {
    let advice = match kind {
        EngineKind::Fast => "set PASSWORD_ENGINE=reference, and report the processor model to the project",
        EngineKind::Reference => "the machine or the build is broken; use another one",
    };
    format!("PASSWORD_ENGINE: the {kind} engine computes wrong password hashes on this machine: {advice}")
}

impl Engine {
    /// An engine that keeps as much memory as a hash with these costs needs.
    pub(crate) fn new(kind: EngineKind, costs: Costs) -> Self {
        let memory = match kind {
            EngineKind::Fast => Memory::Fast(Box::new(fast(argon2_rust::Params::DEFAULT).hasher())),
            EngineKind::Reference => Memory::Reference(Vec::new()),
        };
        Self { memory, keeps_kib: costs.memory_kib }
    }

    /// Computes a hash; slow by design. An error means that there is no memory, and says nothing about the password.
    pub(crate) fn hash(&mut self, password: &[u8], recipe: &Recipe) -> Result<Tag> {
        let Recipe { costs: Costs { memory_kib, passes }, salt } = *recipe;
        let mut tag = Tag::default();
        let keep_memory = memory_kib <= self.keeps_kib;
        match &mut self.memory {
            Memory::Fast(hasher) => {
                let size = argon2_rust::params::Memory::kib(memory_kib.into());
                let params = argon2_rust::Params::builder().memory(size).passes(passes);
                let argon2 = fast(params.build()?);
                if keep_memory {
                    hasher.set_argon2(argon2);
                    hasher.hash_into(password, &salt, &mut tag)?;
                } else {
                    argon2.hash_into(password, &salt, &mut tag)?;
                }
            }
            Memory::Reference(memory) => {
                let params = Params::new(memory_kib, passes, 1, None)?;
                memory.try_reserve_exact(params.block_count().saturating_sub(memory.len()))?;
                memory.resize(params.block_count().max(memory.len()), Block::default());
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into_with_memory(password, &salt, &mut tag, &mut *memory)?;
                // From the memory content left behind, an attacker could guess the password a thousand times faster.
                memory.fill(Block::default());
                if !keep_memory {
                    *memory = Vec::new();
                }
            }
        }
        Ok(tag)
    }
}

fn fast(params: argon2_rust::Params) -> argon2_rust::Argon2 {
    argon2_rust::Argon2::new(argon2_rust::Algorithm::Argon2id, argon2_rust::Version::V0x13, params)
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Reference => "reference",
        })
    }
}

#[cfg(test)]
mod tests;
