//! The clock, which a bench reads all the time and the service never.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "how long things take is what a bench asks")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
