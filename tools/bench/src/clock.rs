//! The clock. The service gets the time as an argument; the benches read it directly.

use std::time::Instant;

/// The current time.
#[expect(clippy::disallowed_methods, reason = "a bench measures durations")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
