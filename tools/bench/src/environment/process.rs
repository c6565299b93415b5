//! A process under measurement: started with settings of its own, ended however the bench ends.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::clock::now;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Settings = BTreeMap<String, String>;

pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Its words go to a file in `scratch`, as those of a service go to a journal.
    pub(crate) fn start(command: &mut Command, scratch: &Path, name: &str) -> Result<Self> {
        let number = std::fs::read_dir(scratch)?.count();
        let log = scratch.join(format!("{number}-{name}.log"));
        let file = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What follows `before` in its log, up to the next blank or comma.
    pub(crate) async fn says(&mut self, before: &str) -> Result<String> {
        let find = |log: &str| {
            // The last line may not be complete yet.
            let (whole, _) = log.rsplit_once('\n')?;
            let (_, after) = whole.split_once(before)?;
            after.split(|end: char| end.is_whitespace() || end == ',').next().map(str::to_owned)
        };
        let until = now() + PATIENCE;
        while now() < until {
            if let Some(found) = find(&std::fs::read_to_string(&self.log)?) {
                return Ok(found);
            }
            self.check_alive()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{} never says {before}: {}", self.name, self.last_words())
    }

    pub(crate) async fn address(&mut self, name: &str) -> Result<SocketAddr> {
        Ok(self.says(&format!("{name}=")).await?.parse()?)
    }

    /// Waits until the listener for operators says that it has all it needs.
    pub(crate) async fn ready(&mut self, ops: SocketAddr) -> Result<()> {
        let until = now() + PATIENCE;
        while let Err(error) = shared::telemetry::ops_server::check_readiness(ops).await {
            self.check_alive()?;
            ensure!(now() < until, "{} is not ready: {error:#}\n{}", self.name, self.last_words());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}): {}", self.name, self.last_words()),
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.check_alive()?;
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        ensure!(asked.success(), "{} cannot be asked to end", self.name);
        let until = now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(now() < until, "{} does not end: {}", self.name, self.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail on one that has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
