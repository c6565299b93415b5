//! The only source of randomness of the API.

use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use uuid::Uuid;

/// A random id that cannot be guessed: the id of a registration gives access to its receipt.
pub(crate) fn id() -> Uuid {
    uuid::Builder::from_random_bytes(rng().random()).into_uuid()
}

/// 256 random bits that cannot be guessed, for a session token.
pub(crate) fn bits() -> [u8; 32] {
    rng().random()
}

/// A uniformly distributed number of the range.
pub(crate) fn in_range(range: RangeInclusive<i64>) -> i64 {
    rng().random_range(range)
}

#[expect(clippy::disallowed_methods, reason = "the only place that uses the global rng")]
fn rng() -> impl Rng {
    rand::rng()
}
