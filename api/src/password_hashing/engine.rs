//! The two ways to compute Argon2id, and the proof that both compute the same (see decision 0012).

use std::fmt;

use anyhow::{Result, ensure};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use argon2_rust::{Hasher, params::Memory};

use crate::domain::password::{
    proof::Tag,
    recipe::{Costs, Recipe},
};

/// Which of them does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Fast,
    Reference,
}

/// One thread's own, with memory that is kept from one password to the next, and never holds what is left of one.
pub(crate) struct Engine {
    scratch: Scratch,
    /// What takes more memory gets it for that once: a stored hash must not decide what a thread keeps.
    keeps_kib: u32,
}

enum Scratch {
    Fast(Box<Hasher>),
    Reference(Vec<Block>),
}

const USUAL: Costs = Costs { memory_kib: 19_456, passes: 2 };

/// What the reference implementation in C makes of these.
const KNOWN: [(&[u8], [u8; 16], Costs, &str); 3] = [
    (
        b"correct horse battery staple",
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        USUAL,
        "818259b6310026a8e0dbac5d2e6927abcfdb07b32258fac4f61b18b80f929085",
    ),
    (
        b"p",
        [255; 16],
        Costs { memory_kib: 8, passes: 1 },
        "8a4faff35dfcbfccc35dec91cdc54b47ec21dbfabc65e2e7b56bcc1879c6b9f0",
    ),
    (
        &[b'7'; 500],
        *b"vestibule.salt.1",
        Costs { memory_kib: 1_024, passes: 3 },
        "f7c1f4df337a1eea8f0a7b8f9a97b1eabeeed45dc8b168c2628862df6fb6b073",
    ),
];

/// Both engines must agree with the reference, and with each other at the costs that are set: a hash that
/// nobody else can compute would lock everybody out on the day when the engine is changed.
pub(crate) fn check(costs: Costs) -> Result<()> {
    agree(costs, |kind| {
        // One for all, with memory for the largest, which goes back as one piece: what is freed in several may stay
        // with the process for ever.
        let mut engine = Engine::new(kind, if costs.memory_kib < USUAL.memory_kib { USUAL } else { costs });
        move |password, recipe| engine.hash(password, recipe)
    })
}

fn agree<H>(costs: Costs, engine: impl Fn(EngineKind) -> H) -> Result<()>
where
    H: FnMut(&[u8], &Recipe) -> Result<Tag>,
{
    let recipe = Recipe { costs, salt: *b"the costs as set" };
    let mut tags = Vec::new();
    for kind in [EngineKind::Fast, EngineKind::Reference] {
        let mut hash = engine(kind);
        tags.push(hash(b"vestibule", &recipe)?);
        for (password, salt, costs, known) in KNOWN {
            let tag = hash(password, &Recipe { costs, salt })?;
            let same = tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == known;
            ensure!(same, "{}", wrong(kind));
        }
    }
    ensure!(tags[0] == tags[1], "{}", wrong(EngineKind::Fast));
    Ok(())
}

fn wrong(kind: EngineKind) -> String {
    let advice = match kind {
        EngineKind::Fast => "set PASSWORD_ENGINE=reference, and tell us which processor it is",
        EngineKind::Reference => "the machine or the build is broken",
    };
    format!("the {kind} engine computes wrong password hashes here: {advice}")
}

impl Engine {
    /// Keeps as much memory as a hash of these costs takes.
    pub(crate) fn new(kind: EngineKind, costs: Costs) -> Self {
        let scratch = match kind {
            EngineKind::Fast => Scratch::Fast(Box::new(fast(argon2_rust::Params::DEFAULT).hasher())),
            EngineKind::Reference => Scratch::Reference(Vec::new()),
        };
        Self { scratch, keeps_kib: costs.memory_kib }
    }

    /// Slow by design. An error says that there is no memory, and nothing about the password.
    pub(crate) fn hash(&mut self, password: &[u8], recipe: &Recipe) -> Result<Tag> {
        let Recipe { costs: Costs { memory_kib, passes }, salt } = *recipe;
        let (mut tag, keep) = (Tag::default(), memory_kib <= self.keeps_kib);
        match &mut self.scratch {
            Scratch::Fast(hasher) => {
                let params = argon2_rust::Params::builder().memory(Memory::kib(memory_kib.into())).passes(passes);
                let argon2 = fast(params.build()?);
                if keep {
                    hasher.set_argon2(argon2);
                    hasher.hash_into(password, &salt, &mut tag)?;
                } else {
                    argon2.hash_into(password, &salt, &mut tag)?;
                }
            }
            Scratch::Reference(memory) => {
                let params = Params::new(memory_kib, passes, 1, None)?;
                memory.try_reserve_exact(params.block_count().saturating_sub(memory.len()))?;
                memory.resize(params.block_count().max(memory.len()), Block::default());
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                argon2.hash_password_into_with_memory(password, &salt, &mut tag, &mut *memory)?;
                // From what is left there, a password could be guessed a thousand times faster.
                memory.fill(Block::default());
                if !keep {
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
