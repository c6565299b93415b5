//! Named places in our processes where a test has one killed. In every other build they are nothing.
//!
//! `FAIL_AT=name` kills the process that comes to this place, by SIGKILL and before the next instruction;
//! `FAIL_AT=name:3` lets it pass there twice before.

#[cfg(all(feature = "fault-points", not(debug_assertions)))]
compile_error!("no release holds fail points: build without the feature `fault-points`");

/// Ends here if a test wants it so.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "fault-points")]
    armed::pass(name);
    #[cfg(not(feature = "fault-points"))]
    let _ = name;
}

#[cfg(feature = "fault-points")]
mod armed {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };

    use rustix::process::{Signal, getpid, kill_process};

    /// Where to end, and at which passage.
    static PLAN: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let plan = std::env::var("FAIL_AT").ok()?;
        let (name, passage) = plan.split_once(':').unwrap_or((&plan, "1"));
        Some((name.to_owned(), passage.parse().unwrap_or(1)))
    });

    static PASSAGES: AtomicU32 = AtomicU32::new(0);

    pub(super) fn pass(here: &str) {
        let Some((name, passage)) = &*PLAN else { return };
        if name == here && PASSAGES.fetch_add(1, Ordering::Relaxed) + 1 == *passage {
            // That it cannot be sent to ourselves does not happen; a test that waits for the end would say so.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
