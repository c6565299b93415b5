//! Which pause a message that failed is sent to.

use shared::topology::RETRY_SECONDS;

/// Longer with each attempt, then the longest again and again: what ends it is the code's deadline.
pub(crate) fn pause_after(attempts: u32) -> u32 {
    let longest = RETRY_SECONDS.len() - 1;
    RETRY_SECONDS[usize::try_from(attempts).unwrap_or(longest).min(longest)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_long() {
        assert_eq!((0..6).map(pause_after).collect::<Vec<_>>(), [1, 5, 15, 60, 60, 60]);
    }
}
