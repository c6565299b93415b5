//! The only source of randomness of the API.

use std::{ops::RangeInclusive, time::Duration};

use rand::{Rng, RngExt};
use time::OffsetDateTime;
use uuid::Uuid;

/// A random id, which reveals nothing: of a user, whom other systems know by it.
pub(crate) fn id() -> Uuid {
    uuid::Builder::from_random_bytes(rng().random()).into_uuid()
}

/// An id of a row that is created at this time (UUIDv7), so that new rows are neighbours in the index, and old ones leave
/// whole pages when they are deleted. It reveals the time to the millisecond. Its other 74 bits are random and cannot be
/// guessed: the id of a registration gives access to its receipt.
pub(crate) fn id_at(time: OffsetDateTime) -> Uuid {
    let milliseconds = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &rng().random()).into_uuid()
}

/// 256 random bits that cannot be guessed, for a session token.
pub(crate) fn bits() -> [u8; 32] {
    rng().random()
}

/// A uniformly distributed number of the range.
pub(crate) fn in_range(range: RangeInclusive<i64>) -> i64 {
    rng().random_range(range)
}

/// A random time of this range of milliseconds.
pub(crate) fn milliseconds_in(range: RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rng().random_range(range))
}

#[expect(clippy::disallowed_methods, reason = "the only place that uses the global rng")]
fn rng() -> impl Rng {
    rand::rng()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn ids_are_ordered_by_time_and_otherwise_random() {
        let at = datetime!(2026-11-30 12:00:00.123 UTC);
        let [earlier, one, other, later] =
            [at - time::Duration::MILLISECOND, at, at, at + time::Duration::MILLISECOND].map(id_at);
        assert!(earlier < one.min(other) && one.max(other) < later && one != other);
        assert_eq!((one.get_version_num(), id().get_version_num()), (7, 4));
        assert_eq!(one.get_timestamp().unwrap().to_unix(), (1_796_040_000, 123_000_000));
    }
}
