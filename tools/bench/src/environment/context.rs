//! Context of a bench run: the servers, the machine, and the length of the measurements.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    baseline::raw_hashes::Engine,
    environment::{broker, database},
    report::progress::print,
};

/// Passed to every bench. Its names and users are unique within the run.
pub(crate) struct BenchContext {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    pub(crate) cores: usize,
    pub(crate) engine: Engine,
    /// `QUICK=1`: only check that the benches run.
    pub(crate) quick: bool,
    /// The folder with the binaries `api`, `worker` and `bench`.
    pub(crate) programs: PathBuf,
    /// Folder for logs and scripts; deleted at the end.
    pub(crate) scratch: PathBuf,
    /// Names to clean up: see [`BenchContext::unique_name`].
    used_names: RefCell<Vec<String>>,
    next_user: Cell<u64>,
}

impl BenchContext {
    /// Reads the environment variables that `scripts/bench` sets.
    pub(crate) fn from_environment(quick: bool) -> Result<Self> {
        let server = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set: run `make bench`"));
        let programs = std::env::current_exe()?
            .parent()
            .map(Path::to_owned)
            .context("the path of this program has no parent folder")?;
        let scratch = std::env::temp_dir().join(format!("vestibule-bench-{}", std::process::id()));
        std::fs::create_dir_all(&scratch)?;
        Ok(Self {
            database_url: server("DATABASE_URL")?,
            amqp_url: server("AMQP_URL")?,
            cores: std::thread::available_parallelism()?.get(),
            engine: Engine::from_environment()?,
            quick,
            programs,
            scratch,
            used_names: RefCell::default(),
            next_user: Cell::new(0),
        })
    }

    /// Chooses the value for a full or for a quick run.
    pub(crate) fn full_or_quick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Repetitions of each comparison.
    pub(crate) fn rounds(&self) -> usize {
        self.full_or_quick(5, 1)
    }

    /// Duration of one measurement. Each round measures both sides.
    pub(crate) fn seconds(&self) -> f64 {
        self.full_or_quick(3.0, 1.0)
    }

    /// Seconds of load before a measurement starts.
    pub(crate) fn warm_up(&self) -> f64 {
        self.full_or_quick(1.0, 0.3)
    }

    /// All cores but one, which is left for the servers that run on other machines in production.
    pub(crate) fn all_but_one_core(&self) -> usize {
        (self.cores - 1).max(1)
    }

    /// A unique name for a database and an AMQP prefix. Both are deleted at the end of the run.
    pub(crate) fn unique_name(&self, label: &str) -> String {
        let mut used = self.used_names.borrow_mut();
        let name = format!("bench_{}_{}_{label}", std::process::id(), used.len());
        used.push(name.clone());
        name
    }

    /// Allocates a block of `count` users that no bench has used, and returns the number of the first one.
    pub(crate) fn allocate_users(&self, count: u64) -> u64 {
        self.next_user.replace(self.next_user.get() + count)
    }

    /// Deletes all databases, queues and files of the run, and prints what could not be deleted.
    pub(crate) async fn clean_up(&self) {
        for name in self.used_names.take() {
            let database = database::remove(self, &name).await;
            let broker = broker::delete(self, &name).await;
            for error in [database.err(), broker.err()].into_iter().flatten() {
                print(&format!("cannot clean up {name}: {error:#}"));
            }
        }
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}
