//! Whatever the attacker leaves to chance.

/// So many digits.
pub(super) fn digits(length: usize) -> String {
    (0..length).map(|_| char::from(b'0' + rand::random_range(0..10_u8))).collect()
}

/// Something that nobody else says: for names and passwords.
pub(super) fn word() -> String {
    format!("{:016x}", rand::random::<u64>())
}

pub(super) fn coin() -> bool {
    rand::random()
}

/// A /24 of this machine's own addresses that is not the usual one.
pub(super) fn loopback_network() -> [u8; 3] {
    [127, rand::random_range(1..=254), rand::random_range(1..=254)]
}
