//! The settings of password hashing: Argon2 costs, engine, threads, maximum wait.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{check_range, settings::RawSettings};
use crate::{
    domain::password::recipe::Costs,
    password_hashing::{EngineKind, HashSettings},
};

/// The upper limit of `HASH_QUEUE_MS`: clients have disconnected by then.
const MAX_WAIT_MS: u32 = 60_000;

/// Validates the settings of the hash pool.
pub(crate) fn check(settings: &RawSettings, production: bool) -> Result<HashSettings> {
    let (memory_kib, passes) = (settings.argon2_memory_kib, settings.argon2_passes);
    check_range("ARGON2_MEMORY_KIB", memory_kib, Costs::MIN_MEMORY_KIB, Costs::MAX_MEMORY_KIB)?;
    check_range("ARGON2_PASSES", passes, 1, Costs::MAX_PASSES)?;
    check_range("HASH_QUEUE_MS", settings.hash_queue_ms, 0, MAX_WAIT_MS)?;
    let costs = Costs { memory_kib, passes };
    // The minimum of the OWASP recommendations; 7 MiB with 5 passes is the cheapest of them.
    if production && (memory_kib < 7_168 || costs.work() < 35_840) {
        bail!(
            "ARGON2_MEMORY_KIB and ARGON2_PASSES are {memory_kib} and {passes}, which is too little for production: set \
             19456 and 2, or at least as much work"
        );
    }
    Ok(HashSettings {
        engine: match settings.password_engine.as_str() {
            "fast" => EngineKind::Fast,
            "reference" => EngineKind::Reference,
            _ => bail!("PASSWORD_ENGINE has an unknown value: it must be fast or reference"),
        },
        costs,
        threads: thread_count(settings.hash_threads)?,
        max_wait: Duration::from_millis(settings.hash_queue_ms.into()),
    })
}

fn thread_count(setting: Option<u16>) -> Result<usize> {
    match setting {
        Some(threads) => {
            check_range("HASH_THREADS", threads.into(), 1, 1_024)?;
            Ok(threads.into())
        }
        // As many as the CPUs that this process may use; cgroups and CPU affinity are taken into account.
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}
