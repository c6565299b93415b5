//! What the worker tells when somebody asks how it is.

use std::sync::Arc;

use shared::postgres::{self, Pool, Usage};
use shared::telemetry::{
    health::{Check, Checks, Part, soon},
    metrics::{Family, Number, Registry, names},
};

use crate::{consumer::broker_status::Hearing, metrics::Metrics, smtp::health::Heard, store::Store};

/// What one worker counts and knows of itself.
pub struct Report {
    pub(crate) metrics: Metrics,
    pub(crate) heard: Arc<Heard>,
    pub(crate) hearing: Hearing,
    broker_up: Arc<Family<1>>,
    queue: Arc<Family<0>>,
    parked: Arc<Family<0>>,
    /// Where the pool is the worker's alone.
    pool: Option<(Arc<Family<1>>, Arc<Number>)>,
}

impl Report {
    /// Of a worker in a process of its own.
    pub(crate) fn alone(all: &Registry) -> Self {
        let pool = (all.family(names::POOL_CONNECTIONS), all.one(names::POOL_WAITING));
        let report = Self { pool: Some(pool), ..Self::beside(all) };
        // It is not ready before it hears for the first time.
        report.hearing.closed();
        report
    }

    /// Of a worker in a process that has other parts, and one pool for them all.
    pub fn beside(all: &Registry) -> Self {
        Self {
            metrics: Metrics::new(all),
            heard: Arc::new(Heard::new(all)),
            hearing: Hearing::default(),
            broker_up: all.family(names::BROKER_UP),
            queue: all.family(names::QUEUE_MESSAGES),
            parked: all.family(names::PARKED_MESSAGES),
            pool: None,
        }
    }

    pub fn part(self: &Arc<Self>, database: Pool) -> Part {
        let (asked, looked) = (Arc::clone(self), Arc::clone(self));
        let store = Store::new(database.clone());
        let checks = move || {
            let (report, store) = (Arc::clone(&asked), store.clone());
            async move { report.checks(&store).await }
        };
        let look = move || {
            let (report, database) = (Arc::clone(&looked), database.clone());
            async move { report.look(&database).await }
        };
        Part::new("worker", checks, look)
    }

    async fn checks(&self, store: &Store) -> Checks {
        let postgres = Check { name: "postgres", ok: soon(store.is_up()).await == Some(true), needed: true };
        let broker = self.hearing.is_up().map(|ok| Check { name: "broker", ok, needed: true });
        // It takes messages without a mail server, and has them wait.
        let smtp = Check { name: "smtp", ok: self.heard.is_well(), needed: false };
        [Some(postgres), broker, Some(smtp)].into_iter().flatten().collect()
    }

    async fn look(&self, database: &Pool) {
        if let Some(up) = self.hearing.is_up() {
            self.broker_up.set(["worker"], up);
        }
        if let Some((pool, pool_waiting)) = &self.pool {
            let Usage { in_use, idle, waiting } = postgres::usage(database);
            pool.set(["in_use"], in_use);
            pool.set(["idle"], idle);
            pool_waiting.set(waiting);
        }
        match soon(self.hearing.waiting()).await.flatten() {
            Some((queue, parked)) => {
                self.queue.set([], queue);
                self.parked.set([], parked);
            }
            None => {
                self.queue.forget();
                self.parked.forget();
            }
        }
    }
}
