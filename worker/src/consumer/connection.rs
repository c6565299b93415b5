//! Opens the worker's two broker connections with retry and backoff: one to consume, one to publish.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use backon::{ExponentialBuilder, Retryable};
use lapin::{
    Channel, Consumer,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use secrecy::SecretString;
use shared::amqp::{Link, confirms::ConfirmedChannel, topology::Topology};
use tokio_util::sync::CancellationToken;

use crate::consumer::ack::Acknowledger;

const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
const RESTART_TIMEOUT: Duration = Duration::from_secs(5);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// The open connections of a consumer.
///
/// Consuming and publishing use separate connections: a broker that is short of memory or disk stops reading from
/// connections that publish, and acks must still reach it.
pub(crate) struct BrokerConnections {
    pub(crate) deliveries: Consumer,
    pub(crate) acknowledger: Acknowledger,
    /// For querying queue lengths. A channel of its own: an error there must not close the channel of the acks.
    pub(crate) status_channel: Channel,
    consumer_channel: Channel,
    consumer_connection: Link,
    publisher_connection: Link,
}

impl BrokerConnections {
    /// Opens the connections; retries without limit, with exponential backoff.
    pub(crate) async fn open_with_retry(url: &SecretString, topology: &Topology, prefetch: u16) -> Self {
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

    async fn open(url: &SecretString, topology: &Topology, prefetch: u16) -> Result<Self> {
        let consumer_connection = shared::amqp::connect(url, "vestibule worker: consumer").await?;
        let publisher_connection = shared::amqp::connect(url, "vestibule worker: retries").await?;
        let status_channel = consumer_connection.connection.create_channel().await?;
        topology.declare(&publisher_connection.connection).await?;
        let publisher = ConfirmedChannel::open(&publisher_connection.connection).await?;
        let (consumer_channel, deliveries) = start_consumer(&consumer_connection, topology, prefetch).await?;
        let acknowledger = Acknowledger {
            publisher,
            topology: topology.clone(),
            ack_failed: Arc::default(),
            connections_closed: CancellationToken::new(),
        };
        Ok(Self {
            deliveries,
            acknowledger,
            status_channel,
            consumer_channel,
            consumer_connection,
            publisher_connection,
        })
    }

    /// Restarts the consumer on a new channel; no message may be in flight. The broker requeues what it believes to
    /// have delivered over the old channel.
    pub(crate) async fn restart_consumer(&mut self, prefetch: u16) -> Result<()> {
        let restarting = async {
            self.consumer_channel.close(200, "bye".into()).await?;
            start_consumer(&self.consumer_connection, &self.acknowledger.topology, prefetch).await
        };
        (self.consumer_channel, self.deliveries) = tokio::time::timeout(RESTART_TIMEOUT, restarting).await??;
        Ok(())
    }

    /// Whether both connections and all their channels are open.
    pub(crate) fn is_healthy(&self) -> bool {
        let links = [&self.consumer_connection, &self.publisher_connection];
        let channels = [&self.consumer_channel, &self.status_channel];
        links.iter().all(|link| link.connection.status().connected())
            && channels.iter().all(|channel| channel.status().connected())
            && self.acknowledger.publisher.is_open()
    }

    /// Stops new deliveries; messages that were delivered can still be acked.
    pub(crate) async fn cancel_consumer(&self) {
        let cancel = self.consumer_channel.basic_cancel(self.deliveries.tag(), BasicCancelOptions::default());
        // If the broker does not answer, closing the connection soon afterwards has the same effect.
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, cancel).await;
    }

    /// Closes both connections. The broker requeues messages that were not acked.
    pub(crate) async fn close(self) {
        self.acknowledger.connections_closed.cancel();
        for link in [self.consumer_connection, self.publisher_connection] {
            link.close().await;
        }
    }
}

/// Starts consuming the work queue on a new channel.
async fn start_consumer(link: &Link, topology: &Topology, prefetch: u16) -> Result<(Channel, Consumer)> {
    let channel = link.connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let queue = topology.queue.as_str().into();
    let deliveries =
        channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    Ok((channel, deliveries))
}
