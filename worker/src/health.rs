//! What the worker tells when somebody asks how it is.

use std::sync::Arc;

use shared::postgres::{self, Pool, PoolUsage};
use shared::telemetry::{
    health::{Check, Checks, Component, soon},
    metrics::{Family, Number, Registry, names},
};

use crate::{consumer::broker_status::BrokerStatus, metrics::Metrics, smtp::health::SmtpHealth, store::Store};

/// What one worker counts and knows of itself.
pub struct WorkerHealth {
    pub(crate) metrics: Metrics,
    pub(crate) heard: Arc<SmtpHealth>,
    pub(crate) hearing: BrokerStatus,
    broker_up: Arc<Family<1>>,
    queue: Arc<Family<0>>,
    parked: Arc<Family<0>>,
    /// Where the pool is the worker's alone.
    pool: Option<(Arc<Family<1>>, Arc<Number>)>,
}

impl WorkerHealth {
    /// Of a worker in a process of its own.
    pub(crate) fn alone(all: &Registry) -> Self {
        let pool = (all.family(names::POOL_CONNECTIONS), all.one(names::POOL_WAITING));
        let health = Self { pool: Some(pool), ..Self::beside(all) };
        // It is not ready before it hears for the first time.
        health.hearing.closed();
        health
    }

    /// Of a worker in a process that has other parts, and one pool for them all.
    pub fn beside(all: &Registry) -> Self {
        Self {
            metrics: Metrics::new(all),
            heard: Arc::new(SmtpHealth::new(all)),
            hearing: BrokerStatus::default(),
            broker_up: all.family(names::BROKER_UP),
            queue: all.family(names::QUEUE_MESSAGES),
            parked: all.family(names::PARKED_MESSAGES),
            pool: None,
        }
    }

    pub fn part(self: &Arc<Self>, database: Pool) -> Component {
        let (asked, looked) = (Arc::clone(self), Arc::clone(self));
        let store = Store::new(database.clone());
        let checks = move || {
            let (health, store) = (Arc::clone(&asked), store.clone());
            async move { health.checks(&store).await }
        };
        let look = move || {
            let (health, database) = (Arc::clone(&looked), database.clone());
            async move { health.look(&database).await }
        };
        Component::new("worker", checks, look)
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
            let PoolUsage { in_use, idle, waiting } = postgres::usage(database);
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
