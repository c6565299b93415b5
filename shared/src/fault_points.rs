//! Fault points: named points in the code at which a test kills the process. Without the feature `fault-points` they do
//! nothing.
//!
//! With `FAIL_AT=name`, a process kills itself with SIGKILL when it reaches the fault point `name`, before the next
//! instruction; with `FAIL_AT=name:3`, when it reaches it for the third time.

#[cfg(all(feature = "fault-points", not(debug_assertions)))]
compile_error!("a release must not contain fault points: build without the feature `fault-points`");

/// Kills the process if `FAIL_AT` names this fault point.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "fault-points")]
    armed::reach(name);
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

    struct Plan {
        name: String,
        count: u32,
    }

    /// The fault point of `FAIL_AT`, and how many times it must be reached.
    static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
        let plan = std::env::var("FAIL_AT").ok()?;
        let (name, count) = plan.split_once(':').unwrap_or((&plan, "1"));
        Some(Plan { name: name.to_owned(), count: count.parse().unwrap_or(1) })
    });

    /// How often the planned fault point was reached.
    static REACHED: AtomicU32 = AtomicU32::new(0);

    /// Counts that the fault point was reached, and kills the process if the plan says so.
    pub(super) fn reach(point: &str) {
        let Some(plan) = &*PLAN else { return };
        if plan.name == point && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == plan.count {
            // A process can always signal itself; if not, the test that waits for the end of the process fails.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
