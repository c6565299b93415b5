//! Runs pgbench.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};

/// Transactions per second of a script on this many connections.
pub(crate) async fn rate(url: &str, script: &Path, connections: usize, seconds: f64) -> Result<f64> {
    let mut command = Command::new(program());
    let seconds = seconds.max(1.0).round().to_string();
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=1"]);
    command
        .arg(format!("--client={connections}"))
        .arg(format!("--time={seconds}"))
        .arg(format!("--file={}", script.display()));
    // pgbench accepts a complete URL as the database name.
    command.arg(url);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("cannot run pgbench; install the Postgres package that contains it")?;
    parse_rate(&output)
}

fn parse_rate(output: &Output) -> Result<f64> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench failed: {stderr}");
    let line = stdout
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))
        .with_context(|| format!("pgbench printed no rate: {stdout}"))?;
    Ok(line.split(' ').next().unwrap_or_default().parse()?)
}

/// The newest pgbench of the Debian packages, which are not in the PATH, or else the one in the PATH.
fn program() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin/pgbench")).filter(|program| program.exists());
    let version = |program: &PathBuf| {
        program.ancestors().nth(2).and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u32>().ok())
    };
    programs.max_by_key(version).unwrap_or_else(|| "pgbench".into())
}
