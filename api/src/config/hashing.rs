//! The settings about hashing passwords.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{settings::Settings as Given, within};
use crate::{
    domain::password::recipe::Costs,
    password_hashing::{EngineKind, HashSettings},
};

/// Whoever waits longer is not there any more.
const MOST_PATIENCE_MS: u32 = 60_000;

pub(crate) fn check(given: &Given, production: bool) -> Result<HashSettings> {
    let (memory_kib, passes) = (given.argon2_memory_kib, given.argon2_passes);
    within("ARGON2_MEMORY_KIB", memory_kib, Costs::LEAST_MEMORY_KIB, Costs::MOST_MEMORY_KIB)?;
    within("ARGON2_PASSES", passes, 1, Costs::MOST_PASSES)?;
    within("HASH_QUEUE_MS", given.hash_queue_ms, 0, MOST_PATIENCE_MS)?;
    let costs = Costs { memory_kib, passes };
    // The least of what OWASP recommends, of which 7 MiB five times over is the cheapest.
    if production && (memory_kib < 7_168 || costs.work() < 35_840) {
        bail!(
            "ARGON2_MEMORY_KIB and ARGON2_PASSES are {memory_kib} and {passes}: production wants 19456 and 2, or as much"
        );
    }
    Ok(HashSettings {
        engine: match given.password_engine.as_str() {
            "fast" => EngineKind::Fast,
            "reference" => EngineKind::Reference,
            _ => bail!("PASSWORD_ENGINE must be fast or reference"),
        },
        costs,
        threads: threads(given.hash_threads)?,
        max_wait: Duration::from_millis(given.hash_queue_ms.into()),
    })
}

fn threads(set: Option<u16>) -> Result<usize> {
    match set {
        Some(threads) => {
            within("HASH_THREADS", threads.into(), 1, 1_024)?;
            Ok(threads.into())
        }
        // As many as this process may use: cgroups and affinity are taken into account.
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}
