//! What the system says a process has used.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Of the times in /proc; Linux tells all programs that it is 100.
const TICKS_PER_SECOND: f64 = 100.0;

/// The seconds that the threads of a process have computed, but for those that hash.
pub(crate) fn seconds_without_hashing(process: u32) -> Result<f64> {
    let mut ticks = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // One that has ended meanwhile is of no interest.
        let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
        let (name, used) = parse(&stat).context("/proc is unlike itself")?;
        ticks += if name.starts_with("hash-") { 0.0 } else { used };
    }
    Ok(ticks / TICKS_PER_SECOND)
}

/// The seconds that Postgres has computed for the connections to a database.
pub(crate) fn seconds_of_backends(database: &str) -> Result<f64> {
    let mut ticks = 0.0;
    for process in fs::read_dir("/proc")? {
        let path = process?.path();
        if is_backend(&path, database)
            && let Ok(stat) = fs::read_to_string(path.join("stat"))
        {
            ticks += parse(&stat).context("/proc is unlike itself")?.1;
        }
    }
    Ok(ticks / TICKS_PER_SECOND)
}

fn is_backend(process: &Path, database: &str) -> bool {
    let title = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
    title.starts_with("postgres: ") && title.split(' ').any(|word| word == database)
}

/// The memory of a process, in MiB.
pub(crate) struct Memory {
    pub(crate) now: f64,
    /// At any time until now.
    pub(crate) peak: f64,
    /// Of what there is now, what was read from the program's file: its code, for the most part.
    pub(crate) of_file: f64,
}

pub(crate) fn memory(process: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let of = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    Ok(Memory { now: of("VmRSS:")?, peak: of("VmHWM:")?, of_file: of("RssFile:")? })
}

/// From now on, the most that a process has is counted anew.
pub(crate) fn reset_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5").context("the peak of a process cannot be forgotten")
}

/// The name of a thread, and the ticks that it used in our code and in the system's.
fn parse(stat: &str) -> Option<(&str, f64)> {
    // A name may hold anything, blanks and brackets too.
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_whitespace().skip(11);
    Some((name, fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let line = "7 (tokio (rt) 1) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 9 0 100 0 0";
        assert_eq!(parse(line), Some(("tokio (rt) 1", 150.0)));
    }

    #[test]
    fn this_process_has_used_something() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.now > memory.of_file && memory.peak >= memory.now);
        assert!(seconds_without_hashing(std::process::id()).unwrap() >= 0.0);
    }
}
