//! Raw hashing: the Argon2 rate of the machine without the service.

use anyhow::{Result, anyhow, bail};
use argon2_rust::params::Memory;
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use tokio::sync::oneshot;

use crate::{clock::now, load::users::PASSWORD};

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const SALT: [u8; 16] = [7; 16];

/// Memory of one hash.
pub(crate) const HASH_MEMORY_KIB: f64 = MEMORY_KIB as f64;

/// An Argon2 implementation, named like the values of `PASSWORD_ENGINE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Fast,
    Reference,
}

impl Engine {
    /// The engine in `PASSWORD_ENGINE`, which the service under test uses.
    pub(crate) fn from_environment() -> Result<Self> {
        match std::env::var("PASSWORD_ENGINE").as_deref() {
            Ok("" | "fast") | Err(_) => Ok(Self::Fast),
            Ok("reference") => Ok(Self::Reference),
            Ok(_) => bail!("PASSWORD_ENGINE must be fast or reference"),
        }
    }

    /// The value of `PASSWORD_ENGINE`.
    pub(crate) fn name(self) -> &'static str {
        if self == Self::Fast { "fast" } else { "reference" }
    }

    /// A function that hashes [`PASSWORD`] and reuses its memory for each call.
    fn hasher(self) -> Result<Box<dyn FnMut() -> Result<[u8; 32]>>> {
        Ok(match self {
            Self::Fast => {
                let params = argon2_rust::Params::builder().memory(Memory::kib(MEMORY_KIB.into())).passes(PASSES);
                let params = params.build().map_err(|error| anyhow!("{error:?}"))?;
                let version = argon2_rust::Version::V0x13;
                let mut hasher = argon2_rust::Argon2::new(argon2_rust::Algorithm::Argon2id, version, params).hasher();
                Box::new(move || {
                    let mut tag = [0; 32];
                    let hashed = hasher.hash_into(PASSWORD.as_bytes(), &SALT, &mut tag);
                    hashed.map(|()| tag).map_err(|error| anyhow!("{error:?}"))
                })
            }
            Self::Reference => {
                let params = argon2::Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| anyhow!("{error}"))?;
                let mut memory = vec![argon2::Block::default(); params.block_count()];
                let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
                Box::new(move || {
                    let mut tag = [0; 32];
                    let hashed =
                        argon2.hash_password_into_with_memory(PASSWORD.as_bytes(), &SALT, &mut tag, &mut memory);
                    hashed.map(|()| tag).map_err(|error| anyhow!("{error}"))
                })
            }
        })
    }

    /// Hashes per second on this many threads.
    pub(crate) async fn rate(self, threads: usize, seconds: f64) -> Result<f64> {
        let running = (0..threads).map(|_| {
            let (sender, rate) = oneshot::channel();
            std::thread::spawn(move || sender.send(self.single_thread_rate(seconds)));
            rate
        });
        let mut total = 0.0;
        for rate in running.collect::<Vec<_>>() {
            total += rate.await??;
        }
        Ok(total)
    }

    fn single_thread_rate(self, seconds: f64) -> Result<f64> {
        let mut hash = self.hasher()?;
        // Not measured: the first hash allocates the memory.
        hash()?;
        let (started, mut count) = (now(), 0.0);
        while started.elapsed().as_secs_f64() < seconds {
            hash()?;
            count += 1.0;
        }
        Ok(count / started.elapsed().as_secs_f64())
    }
}

/// The hash of [`PASSWORD`], as the service stores it.
pub(crate) fn stored_hash() -> Result<String> {
    let tag = Engine::Reference.hasher()?()?;
    Ok(phc(MEMORY_KIB, PASSES, &tag))
}

/// A hash that matches no password and takes more than a hundred times as long to verify as a normal one.
pub(crate) fn slow_hash() -> String {
    // 64 passes are the most that the service accepts in a stored hash.
    phc(4 * MEMORY_KIB, 64, &[0; 32])
}

/// A hash in PHC string format.
fn phc(memory_kib: u32, passes: u32, tag: &[u8; 32]) -> String {
    let encode = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(bytes);
    format!("$argon2id$v=19$m={memory_kib},t={passes},p=1${}${}", encode(&SALT), encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_compute_the_same_hash() {
        let hash = |engine: Engine| engine.hasher().unwrap()().unwrap();
        assert_eq!(hash(Engine::Fast), hash(Engine::Reference));
        assert!(stored_hash().unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"));
    }
}
