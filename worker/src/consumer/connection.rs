//! Opens the worker's two broker connections with retry and backoff: one to consume, one to publish.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use backon::{ExponentialBuilder, Retryable};
use futures_util::{FutureExt, StreamExt, future::join};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use secrecy::SecretString;
use shared::amqp::{
    Link,
    confirms::ConfirmedChannel,
    topology::{Topology, WorkQueue},
};
use shared::messages::MailQueue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::consumer::ack::{Acknowledger, requeue};

const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
const RESTART_TIMEOUT: Duration = Duration::from_secs(5);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// The open connections of a consumer.
///
/// Consuming and publishing use separate connections: a broker that is short of memory or disk stops reading from
/// connections that publish, and acks must still reach it.
pub(crate) struct BrokerConnections {
    pub(crate) codes: QueueConsumer,
    pub(crate) notices: QueueConsumer,
    pub(crate) acknowledger: Acknowledger,
    /// For querying queue lengths. A channel of its own: an error there must not close the channel of the acks.
    pub(crate) status_channel: Channel,
    consumer_connection: Link,
    publisher_connection: Link,
}

/// Consumes one queue, on a channel of its own.
pub(crate) struct QueueConsumer {
    pub(crate) deliveries: Consumer,
    /// When it last delivered a message, or one of its messages was finished.
    pub(crate) last_activity: Instant,
    channel: Channel,
    prefetch: u16,
}

/// How many messages of each queue are processed at the same time.
#[derive(Clone, Copy)]
pub(crate) struct Prefetch {
    pub(crate) codes: u16,
    pub(crate) notices: u16,
}

impl BrokerConnections {
    /// Opens the connections; retries without limit, with exponential backoff.
    pub(crate) async fn open_with_retry(url: &SecretString, topology: &Topology, prefetch: Prefetch) -> Self {
        let back_off = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        loop {
            let open = || async { tokio::time::timeout(OPEN_TIMEOUT, Self::open(url, topology, prefetch)).await? };
            let opening = open.retry(back_off).notify(|error: &anyhow::Error, delay| {
                tracing::warn!(error = format!("{error:#}"), ?delay, "no connection to the broker");
            });
            if let Ok(connections) = opening.await {
                return connections;
            }
        }
    }

    async fn open(url: &SecretString, topology: &Topology, prefetch: Prefetch) -> Result<Self> {
        let consumer_connection = shared::amqp::connect(url, "vestibule worker: consumer").await?;
        let publisher_connection = shared::amqp::connect(url, "vestibule worker: retries").await?;
        let status_channel = consumer_connection.connection.create_channel().await?;
        topology.declare(&publisher_connection.connection).await?;
        let publisher = ConfirmedChannel::open(&publisher_connection.connection).await?;
        let codes = QueueConsumer::start(&consumer_connection, &topology.codes, prefetch.codes).await?;
        let notices = QueueConsumer::start(&consumer_connection, &topology.notices, prefetch.notices).await?;
        let acknowledger = Acknowledger {
            publisher,
            topology: topology.clone(),
            ack_failed: Arc::default(),
            connections_closed: CancellationToken::new(),
        };
        Ok(Self { codes, notices, acknowledger, status_channel, consumer_connection, publisher_connection })
    }

    /// The consumer of a queue.
    pub(crate) fn consumer(&mut self, queue: MailQueue) -> &mut QueueConsumer {
        match queue {
            MailQueue::Codes => &mut self.codes,
            MailQueue::Notices => &mut self.notices,
        }
    }

    /// Restarts a consumer on a new channel; none of its messages may be in flight. The broker requeues what it
    /// believes to have delivered over the old channel.
    pub(crate) async fn restart_consumer(&mut self, queue: MailQueue) -> Result<()> {
        let work_queue = self.acknowledger.topology.work_queue(queue).clone();
        let QueueConsumer { channel, prefetch, .. } = self.consumer(queue);
        let (channel, prefetch) = (channel.clone(), *prefetch);
        let restarting = async {
            channel.close(200, "bye".into()).await?;
            QueueConsumer::start(&self.consumer_connection, &work_queue, prefetch).await
        };
        *self.consumer(queue) = tokio::time::timeout(RESTART_TIMEOUT, restarting).await??;
        Ok(())
    }

    /// Whether both connections and all their channels are open.
    pub(crate) fn is_healthy(&self) -> bool {
        let links = [&self.consumer_connection, &self.publisher_connection];
        let channels = [&self.codes.channel, &self.notices.channel, &self.status_channel];
        links.iter().all(|link| link.connection.status().connected())
            && channels.iter().all(|channel| channel.status().connected())
            && self.acknowledger.publisher.is_open()
    }

    /// Stops new deliveries; messages that were delivered can still be acked.
    pub(crate) async fn cancel_consumers(&self) {
        let cancelling = join(self.codes.cancel(), self.notices.cancel());
        // If the broker does not answer, closing the connection soon afterwards has the same effect.
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, cancelling).await;
    }

    /// Requeues the messages that were delivered and that nothing has read yet, except those to `keep` until the connection
    /// is closed; for cancelled consumers.
    pub(crate) async fn requeue_unread(&mut self, keep: impl Fn(&Delivery) -> bool) {
        let requeueing = async {
            for consumer in [&mut self.codes, &mut self.notices] {
                while let Some(Some(Ok(delivery))) = consumer.deliveries.next().now_or_never() {
                    if !keep(&delivery) {
                        requeue(&delivery).await;
                    }
                }
            }
        };
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, requeueing).await;
    }

    /// Closes both connections. The broker requeues messages that were not acked.
    pub(crate) async fn close(self) {
        self.acknowledger.connections_closed.cancel();
        for link in [self.consumer_connection, self.publisher_connection] {
            link.close().await;
        }
    }
}

impl QueueConsumer {
    /// Starts consuming the queue on a new channel.
    async fn start(link: &Link, queue: &WorkQueue, prefetch: u16) -> Result<Self> {
        let channel = link.connection.create_channel().await?;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let consuming = channel.basic_consume(
            queue.name.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        Ok(Self { deliveries: consuming.await?, last_activity: Instant::now(), channel, prefetch })
    }

    async fn cancel(&self) -> lapin::Result<()> {
        self.channel.basic_cancel(self.deliveries.tag(), BasicCancelOptions::default()).await
    }
}
