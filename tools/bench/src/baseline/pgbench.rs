//! Runs a script of pgbench's.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};

/// Transactions per second with so many connections.
pub(crate) async fn rate(url: &str, script: &Path, connections: usize, seconds: f64) -> Result<f64> {
    let mut command = Command::new(program());
    let seconds = seconds.max(1.0).round().to_string();
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=1"]);
    command
        .arg(format!("--client={connections}"))
        .arg(format!("--time={seconds}"))
        .arg(format!("--file={}", script.display()));
    // The last word is the database, and may be all of a URL.
    command.arg(url);
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("pgbench is needed")?;
    read(&output)
}

fn read(output: &Output) -> Result<f64> {
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "pgbench failed: {complained}");
    let line = said.lines().find_map(|line| line.strip_prefix("tps = ")).with_context(|| format!("no rate: {said}"))?;
    Ok(line.split(' ').next().unwrap_or_default().parse()?)
}

/// The newest of Debian's, which are not in the PATH, else what the PATH knows.
fn program() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin/pgbench")).filter(|program| program.exists());
    let version = |program: &PathBuf| {
        program.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u32>().ok())
    };
    programs.max_by_key(version).unwrap_or_else(|| "pgbench".into())
}
