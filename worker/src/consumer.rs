//! RabbitMQ consumer: processes up to `prefetch` messages of each queue concurrently (backpressure: all others wait),
//! reconnects after failures, drains on shutdown.
//!
//! A message is acked after its outcome is recorded or its retry is published. If the worker crashes before, the broker
//! redelivers it, to another worker if there is one, and `domain/decision` decides again whether the mail is sent.

mod ack;
mod connection;

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Result;
use futures_util::StreamExt;
use lapin::{BasicProperties, message::Delivery, types::AMQPValue};
use secrecy::SecretString;
use shared::amqp::topology::{TRACEPARENT, Topology};
use shared::messages::MailQueue;
use shared::telemetry::traces::spans;
use tokio::{
    task::{self, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{delivery::handler::Handler, message_headers::ERRORS};
use connection::BrokerConnections;
pub(crate) use connection::Prefetch;

/// Pause between closing the connections and opening new ones.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// After this time without a delivery the consumer is restarted. The broker can forget a consumer without notifying
/// it, and the worker cannot distinguish that from an empty queue (docs/decisions/0026).
const IDLE_RESTART_AFTER: Duration = Duration::from_secs(10);

/// How often the connections and the idle time are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Consumes the work queues and passes every message to the handler.
pub(crate) struct Consumer {
    pub(crate) url: SecretString,
    pub(crate) topology: Topology,
    pub(crate) handler: Arc<Handler>,
    pub(crate) prefetch: Prefetch,
    /// On shutdown: the time for the mails in progress to finish.
    pub(crate) drain_timeout: Duration,
}

/// The messages that are being processed.
#[derive(Default)]
struct InFlight {
    tasks: JoinSet<()>,
    /// The queue and the id of the message that a task processes.
    messages: HashMap<task::Id, (MailQueue, Option<String>)>,
    /// Deliveries of a message that is already in flight: it was redelivered after a lost connection, or published
    /// twice. They wait, so that one mail is not sent twice at the same time.
    duplicates: Vec<(MailQueue, Delivery)>,
}

impl InFlight {
    /// How many messages of this queue are being processed.
    fn count(&self, queue: MailQueue) -> usize {
        self.messages.values().filter(|(of, _)| *of == queue).count()
    }

    fn contains(&self, id: &str) -> bool {
        self.messages.values().any(|(_, other)| other.as_deref() == Some(id))
    }
}

impl Consumer {
    /// Connects, consumes, and reconnects after any failure, until `stop` is cancelled. Messages in flight are always
    /// finished: their outcome is recorded even if their ack does not reach the broker.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<()> {
        let mut in_flight = InFlight::default();
        let broker_status = &self.handler.health.broker;
        broker_status.set_closed();
        while !stop.is_cancelled() {
            let connecting = BrokerConnections::open_with_retry(&self.url, &self.topology, self.prefetch);
            let mut connections = tokio::select! { open = connecting => open, () = stop.cancelled() => break };
            tracing::info!("connected to the broker");
            broker_status.set_open(connections.status_channel.clone(), self.topology.clone());
            let reason = self.consume(&mut connections, &mut in_flight, &stop).await;
            // They can only be acked on the connection that delivered them; the broker redelivers them.
            in_flight.duplicates.clear();
            if stop.is_cancelled() {
                // In this order, so that the broker gives what is requeued to another worker.
                connections.cancel_consumers().await;
                self.handler.smtp_pool.begin_drain();
                // A second copy of a mail in progress must not reach another worker before the mail is recorded.
                let is_duplicate =
                    |delivery: &Delivery| message_id(&delivery.properties).is_some_and(|id| in_flight.contains(&id));
                connections.requeue_unread(is_duplicate).await;
                in_flight.drain(self.drain_timeout).await;
            } else {
                tracing::warn!(reason, "reconnecting to the broker");
            }
            broker_status.set_closed();
            connections.close().await;
            // The cause of the failure may persist: do not reconnect in a tight loop.
            tokio::select! { () = tokio::time::sleep(RECONNECT_DELAY) => {}, () = stop.cancelled() => {} }
        }
        // If the worker stops while it is not connected, mails may still be in flight.
        self.handler.smtp_pool.begin_drain();
        in_flight.drain(self.drain_timeout).await;
        self.handler.smtp_pool.close().await;
        Ok(())
    }

    /// Starts deliveries while fewer than `prefetch` of their queue are in flight; returns why the connections must be closed.
    async fn consume(
        &self,
        connections: &mut BrokerConnections,
        in_flight: &mut InFlight,
        stop: &CancellationToken,
    ) -> &'static str {
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        loop {
            let has_capacity = |queue, prefetch| in_flight.count(queue) < usize::from(prefetch);
            let takes_codes = has_capacity(MailQueue::Codes, self.prefetch.codes);
            let takes_notices = has_capacity(MailQueue::Notices, self.prefetch.notices);
            tokio::select! {
                Some(joined) = in_flight.tasks.join_next_with_id(), if !in_flight.tasks.is_empty() => {
                    self.finish(connections, in_flight, joined);
                }
                delivery = connections.codes.deliveries.next(), if takes_codes => match delivery {
                    Some(Ok(delivery)) => self.start(connections, in_flight, MailQueue::Codes, delivery),
                    Some(Err(_)) | None => return "the broker closed the consumer",
                },
                delivery = connections.notices.deliveries.next(), if takes_notices => match delivery {
                    Some(Ok(delivery)) => self.start(connections, in_flight, MailQueue::Notices, delivery),
                    Some(Err(_)) | None => return "the broker closed the consumer",
                },
                () = connections.acknowledger.ack_failed.notified() => return "an ack failed",
                // A channel that dies while the consumer waits may produce no further event.
                _ = check.tick() => {
                    if !connections.is_healthy() {
                        return "a connection broke";
                    }
                    let restarted = tokio::select! {
                        restarted = restart_idle_consumers(connections, in_flight) => restarted,
                        () = stop.cancelled() => return "stopping",
                    };
                    if restarted.is_err() {
                        return "the idle consumer could not be restarted";
                    }
                },
                () = stop.cancelled() => return "stopping",
            }
        }
    }

    /// Starts a task that processes and acks the delivery, or holds it back if its message is in flight already.
    fn start(
        &self,
        connections: &mut BrokerConnections,
        in_flight: &mut InFlight,
        queue: MailQueue,
        delivery: Delivery,
    ) {
        connections.consumer(queue).last_activity = Instant::now();
        let message_id = message_id(&delivery.properties);
        if message_id.as_ref().is_some_and(|id| in_flight.contains(id)) {
            in_flight.duplicates.push((queue, delivery));
            return;
        }
        let traceparent = traceparent(&delivery.properties);
        let trace_span = spans::message(traceparent.as_deref());
        let log_span =
            tracing::info_span!(parent: &trace_span, "message", id = message_id.as_deref(), trace = traceparent);
        let handler = Arc::clone(&self.handler);
        let acknowledger = connections.acknowledger.clone();
        let outcome_span = trace_span.clone();
        let processing = async move {
            let errors = ack::count(&delivery.properties, ERRORS);
            let outcome = handler.handle_body(&delivery.data, errors, delivery.redelivered).await;
            outcome.mark_failure(&outcome_span);
            acknowledger.settle(&delivery, outcome).await;
        };
        let task = in_flight.tasks.spawn(processing.instrument(log_span).instrument(trace_span));
        in_flight.messages.insert(task.id(), (queue, message_id));
    }

    /// Removes a finished message, and starts a duplicate of it if one was held back.
    fn finish(
        &self,
        connections: &mut BrokerConnections,
        in_flight: &mut InFlight,
        joined: Result<(task::Id, ()), JoinError>,
    ) {
        let task = joined.map_or_else(|panic| panic.id(), |(task, ())| task);
        let Some((queue, finished_id)) = in_flight.messages.remove(&task) else { return };
        connections.consumer(queue).last_activity = Instant::now();
        let is_duplicate =
            |(_, delivery): &(_, Delivery)| finished_id.is_some() && message_id(&delivery.properties) == finished_id;
        if let Some(position) = in_flight.duplicates.iter().position(is_duplicate) {
            let (queue, delivery) = in_flight.duplicates.swap_remove(position);
            self.start(connections, in_flight, queue, delivery);
        }
    }
}

impl InFlight {
    /// Waits for the messages in flight, but not longer than this. Aborted messages were not acked: the broker redelivers
    /// them.
    async fn drain(&mut self, timeout: Duration) {
        if self.tasks.is_empty() {
            return;
        }
        tracing::info!(messages = self.tasks.len(), "finishing the messages in progress");
        let finish = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(timeout, finish).await.is_err() {
            tracing::warn!(unfinished = self.tasks.len(), "drain timed out; requeueing unfinished messages");
            self.tasks.shutdown().await;
        }
    }
}

/// Restarts the consumers of the queues that have been idle for too long. Each queue by itself: the other may be busy.
async fn restart_idle_consumers(connections: &mut BrokerConnections, in_flight: &InFlight) -> Result<()> {
    for queue in MailQueue::ALL {
        let is_idle = connections.consumer(queue).last_activity.elapsed() >= IDLE_RESTART_AFTER;
        if is_idle && in_flight.count(queue) == 0 {
            connections.restart_consumer(queue).await?;
        }
    }
    Ok(())
}

fn message_id(properties: &BasicProperties) -> Option<String> {
    properties.message_id().as_ref().map(ToString::to_string)
}

fn traceparent(properties: &BasicProperties) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(TRACEPARENT)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        _ => None,
    }
}
