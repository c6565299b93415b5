//! CPU time and memory of processes, from `/proc`.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Unit of the times in `/proc`; Linux always reports 100 to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of the threads of a process, without its hash threads.
pub(crate) fn cpu_seconds_without_hashing(process: u32) -> Result<f64> {
    let mut ticks = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // The thread may have exited meanwhile.
        let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
        let (name, used) = parse(&stat).context("unexpected format of /proc/…/stat")?;
        ticks += if name.starts_with("hash-") { 0.0 } else { used };
    }
    Ok(ticks / TICKS_PER_SECOND)
}

/// CPU seconds of the Postgres backends that are connected to a database.
pub(crate) fn backend_cpu_seconds(database: &str) -> Result<f64> {
    let mut ticks = 0.0;
    for process in fs::read_dir("/proc")? {
        let path = process?.path();
        if is_backend(&path, database)
            && let Ok(stat) = fs::read_to_string(path.join("stat"))
        {
            ticks += parse(&stat).context("unexpected format of /proc/…/stat")?.1;
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
    /// The maximum since the start or the last [`reset_peak`].
    pub(crate) peak: f64,
    /// The part that is mapped from files, mostly the code of the program.
    pub(crate) file_backed: f64,
}

/// The current memory of a process.
pub(crate) fn memory(process: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let of = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    Ok(Memory { now: of("VmRSS:")?, peak: of("VmHWM:")?, file_backed: of("RssFile:")? })
}

/// Resets the recorded peak of the memory of a process.
pub(crate) fn reset_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5").context("cannot reset the memory peak of the process")
}

/// The name of a thread and its CPU time in ticks (user and system).
fn parse(stat: &str) -> Option<(&str, f64)> {
    // A name may contain any characters, including blanks and brackets.
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_whitespace().skip(11);
    Some((name, fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_line_is_parsed() {
        let line = "7 (tokio (rt) 1) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 9 0 100 0 0";
        assert_eq!(parse(line), Some(("tokio (rt) 1", 150.0)));
    }

    #[test]
    fn usage_of_this_process_is_readable() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.now > memory.file_backed && memory.peak >= memory.now);
        assert!(cpu_seconds_without_hashing(std::process::id()).unwrap() >= 0.0);
    }
}
