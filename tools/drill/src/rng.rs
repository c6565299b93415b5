//! Random values of the attack client.

/// A string of random digits.
pub(super) fn digits(length: usize) -> String {
    (0..length).map(|_| char::from(b'0' + rand::random_range(0..10_u8))).collect()
}

/// A random string for names and passwords, which no other client uses.
pub(super) fn unique_word() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// True or false with equal probability.
pub(super) fn boolean() -> bool {
    rand::random()
}

/// The first three bytes of a random /24 network within 127.0.0.0/8, other than 127.0.0.0/24.
pub(super) fn loopback_network() -> [u8; 3] {
    [127, rand::random_range(1..=254), rand::random_range(1..=254)]
}
