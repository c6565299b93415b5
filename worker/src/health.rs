//! Health checks and gauges of the worker: Postgres, the broker, the mail server and the queue lengths.

pub(crate) mod broker_status;

use std::sync::Arc;

use shared::messages::MailQueue;
use shared::postgres::{self, Pool, PoolUsage};
use shared::telemetry::{
    health::{Check, Checks, Component, with_check_timeout},
    metrics::{Family, Gauge, Registry, gauge_value, names},
};

use crate::{metrics::Metrics, smtp::health::SmtpHealth, store::Store};
use broker_status::{BrokerStatus, QueueLengths};

/// The metrics of one worker and the state that its health check reports.
pub struct WorkerHealth {
    pub(crate) metrics: Metrics,
    pub(crate) smtp: Arc<SmtpHealth>,
    pub(crate) broker: BrokerStatus,
    broker_up: Arc<Family<1, Gauge>>,
    queue_messages: Arc<Family<1, Gauge>>,
    parked_messages: Arc<Family<0, Gauge>>,
    /// `None` if other components of the process share the database pool.
    pool: Option<PoolGauges>,
}

/// Gauges of a database pool that only the worker uses.
struct PoolGauges {
    connections: Arc<Family<1, Gauge>>,
    waiting: Gauge,
}

impl WorkerHealth {
    /// For a worker in its own process.
    pub(crate) fn for_own_process(registry: &Registry) -> Self {
        let connections = registry.family(names::POOL_CONNECTIONS);
        let pool = PoolGauges { connections, waiting: registry.one(names::POOL_WAITING) };
        let health = Self { pool: Some(pool), ..Self::for_shared_process(registry) };
        // Not ready until the first connection to the broker.
        health.broker.set_closed();
        health
    }

    /// For a worker in a process with other components that use the same database pool.
    pub fn for_shared_process(registry: &Registry) -> Self {
        Self {
            metrics: Metrics::new(registry),
            smtp: Arc::new(SmtpHealth::new(registry)),
            broker: BrokerStatus::default(),
            broker_up: registry.family(names::BROKER_UP),
            queue_messages: registry.family(names::QUEUE_MESSAGES),
            parked_messages: registry.family(names::PARKED_MESSAGES),
            pool: None,
        }
    }

    /// Returns the worker as a component of the process's health report.
    pub fn component(self: &Arc<Self>, database: Pool) -> Component {
        let store = Store::new(database.clone());
        let health = Arc::clone(self);
        let checks = move || {
            let health = Arc::clone(&health);
            let store = store.clone();
            async move { health.checks(&store).await }
        };
        let health = Arc::clone(self);
        let update_gauges = move || {
            let health = Arc::clone(&health);
            let database = database.clone();
            async move { health.update_gauges(&database).await }
        };
        Component::new("worker", checks, update_gauges)
    }

    async fn checks(&self, store: &Store) -> Checks {
        let postgres =
            Check { name: "postgres", ok: with_check_timeout(store.is_up()).await == Some(true), required: true };
        let broker = self.broker.is_up().map(|ok| Check { name: "broker", ok, required: true });
        // Not required for readiness: without a mail server the worker consumes messages and retries them later.
        let smtp = Check { name: "smtp", ok: self.smtp.is_healthy(), required: false };
        [Some(postgres), broker, Some(smtp)].into_iter().flatten().collect()
    }

    async fn update_gauges(&self, database: &Pool) {
        if let Some(up) = self.broker.is_up() {
            self.broker_up.set(["worker"], up);
        }
        if let Some(gauges) = &self.pool {
            let PoolUsage { in_use, idle, waiting } = postgres::usage(database);
            gauges.connections.set(["in_use"], in_use);
            gauges.connections.set(["idle"], idle);
            gauges.waiting.set(gauge_value(waiting));
        }
        match with_check_timeout(self.broker.queue_lengths()).await.flatten() {
            Some(QueueLengths { codes, notices, parked }) => {
                for (queue, messages) in [(MailQueue::Codes, codes), (MailQueue::Notices, notices)] {
                    self.queue_messages.set([queue.routing_key()], messages);
                }
                self.parked_messages.set([], parked);
            }
            None => {
                self.queue_messages.forget();
                self.parked_messages.forget();
            }
        }
    }
}
