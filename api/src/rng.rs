//! The one place where chance enters.

use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use uuid::Uuid;

/// An id that nobody can guess: a registration's is the right to read its receipt.
pub(crate) fn id() -> Uuid {
    uuid::Builder::from_random_bytes(rng().random()).into_uuid()
}

/// Bits that nobody can guess, for a token.
pub(crate) fn bits() -> [u8; 32] {
    rng().random()
}

/// One of these, each as likely as the others.
pub(crate) fn one_of(range: RangeInclusive<i64>) -> i64 {
    rng().random_range(range)
}

#[expect(clippy::disallowed_methods, reason = "this is the place")]
fn rng() -> impl Rng {
    rand::rng()
}
