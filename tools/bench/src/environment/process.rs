//! A process under measurement. It is killed when dropped, so that none survives a failed bench.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::clock::now;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Environment variables by name.
pub(crate) type Settings = BTreeMap<String, String>;

/// A child process and its log file.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts the process; its output goes to a file in `scratch`.
    pub(crate) fn start(command: &mut Command, scratch: &Path, name: &str) -> Result<Self> {
        let number = std::fs::read_dir(scratch)?.count();
        let log = scratch.join(format!("{number}-{name}.log"));
        let file = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for `prefix` in the log, and returns the text after it up to the next blank or comma.
    pub(crate) async fn logged_value(&mut self, prefix: &str) -> Result<String> {
        let find = |log: &str| {
            // The last line may be incomplete.
            let (complete_lines, _) = log.rsplit_once('\n')?;
            let (_, after) = complete_lines.split_once(prefix)?;
            after.split(|end: char| end.is_whitespace() || end == ',').next().map(str::to_owned)
        };
        let deadline = now() + TIMEOUT;
        while now() < deadline {
            if let Some(found) = find(&std::fs::read_to_string(&self.log)?) {
                return Ok(found);
            }
            self.check_alive()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} did not log {prefix} within {TIMEOUT:?}: {}", self.name, self.log_tail())
    }

    /// The address that the process logs under this name.
    pub(crate) async fn address(&mut self, name: &str) -> Result<SocketAddr> {
        Ok(self.logged_value(&format!("{name}=")).await?.parse()?)
    }

    /// Waits until the health check on the ops listener succeeds.
    pub(crate) async fn wait_until_ready(&mut self, ops: SocketAddr) -> Result<()> {
        let deadline = now() + TIMEOUT;
        while let Err(error) = shared::telemetry::ops_server::check_readiness(ops).await {
            self.check_alive()?;
            ensure!(now() < deadline, "{} is not ready: {error:#}\n{}", self.name, self.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Fails if the process has exited.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} exited ({status}): {}", self.name, self.log_tail()),
        }
    }

    /// Sends SIGTERM and waits until the process has exited.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.check_alive()?;
        let kill = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        ensure!(kill.success(), "cannot send SIGTERM to {}", self.name);
        let deadline = now() + TIMEOUT;
        while self.child.try_wait()?.is_none() {
            ensure!(now() < deadline, "{} did not exit after SIGTERM: {}", self.name, self.log_tail());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The last ten lines of the log.
    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
