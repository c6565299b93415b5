//! What every bench stands on: the servers, the machine, and how much of everything is wanted.

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

pub(crate) struct BenchContext {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    pub(crate) cores: usize,
    pub(crate) engine: Engine,
    pub(crate) quick: bool,
    /// Where `api`, `worker` and this program are.
    pub(crate) programs: PathBuf,
    /// For logs and scripts; gone at the end.
    pub(crate) scratch: PathBuf,
    made: RefCell<Vec<String>>,
    new_users: Cell<u64>,
}

impl BenchContext {
    pub(crate) fn find(quick: bool) -> Result<Self> {
        let server = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set: run `make bench`"));
        let programs = std::env::current_exe()?.parent().map(Path::to_owned).context("this program is nowhere")?;
        let scratch = std::env::temp_dir().join(format!("vestibule-bench-{}", std::process::id()));
        std::fs::create_dir_all(&scratch)?;
        Ok(Self {
            database_url: server("DATABASE_URL")?,
            amqp_url: server("AMQP_URL")?,
            cores: std::thread::available_parallelism()?.get(),
            engine: Engine::of_environment()?,
            quick,
            programs,
            scratch,
            made: RefCell::default(),
            new_users: Cell::new(0),
        })
    }

    /// One of two numbers: that of the full form, or that of the quick one.
    pub(crate) fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub(crate) fn rounds(&self) -> usize {
        self.either(5, 1)
    }

    /// How long one side of a round is measured, and how long it runs before that.
    pub(crate) fn seconds(&self) -> f64 {
        self.either(3.0, 1.0)
    }

    pub(crate) fn warm_up(&self) -> f64 {
        self.either(1.0, 0.3)
    }

    /// All cores but one, which is left for what runs elsewhere in production.
    pub(crate) fn all_but_one_core(&self) -> usize {
        (self.cores - 1).max(1)
    }

    /// A name for a database and for what is in the broker: nobody else has it, and it goes at the end.
    pub(crate) fn unique_name(&self, of: &str) -> String {
        let mut made = self.made.borrow_mut();
        let name = format!("bench_{}_{}_{of}", std::process::id(), made.len());
        made.push(name.clone());
        name
    }

    /// The number of so many people whom nobody has met.
    pub(crate) fn new_users(&self, count: u64) -> u64 {
        self.new_users.replace(self.new_users.get() + count)
    }

    pub(crate) async fn clean_up(&self) {
        for name in self.made.take() {
            let dropped = database::remove(self, &name).await;
            let gone = broker::delete(self, &name).await;
            for error in [dropped.err(), gone.err()].into_iter().flatten() {
                print(&format!("left behind, {name}: {error:#}"));
            }
        }
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}
