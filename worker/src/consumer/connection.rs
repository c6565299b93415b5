//! The two connections to the broker, opened until it works.

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
const ANEW_TIMEOUT: Duration = Duration::from_secs(5);

/// What is open while all is well. To consume and to publish are two connections: a broker that is
/// short of memory or disk stops reading from those that publish, and acks must still get through.
pub(crate) struct Open {
    pub(crate) deliveries: Consumer,
    pub(crate) settler: Acknowledger,
    /// To ask how much waits: what goes wrong there costs no ack.
    pub(crate) looks: Channel,
    acks: Channel,
    consuming: Link,
    publishing: Link,
}

impl Open {
    /// Tries again for ever, more and more slowly.
    pub(crate) async fn for_sure(url: &SecretString, topology: &Topology, in_hand: u16) -> Self {
        let again = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        loop {
            let opening =
                || async { tokio::time::timeout(OPEN_TIMEOUT, Self::try_once(url, topology, in_hand)).await? };
            let opened = opening.retry(again).notify(|error: &anyhow::Error, pause| {
                tracing::warn!(error = format!("{error:#}"), ?pause, "no connection to the broker");
            });
            if let Ok(open) = opened.await {
                return open;
            }
        }
    }

    async fn try_once(url: &SecretString, topology: &Topology, in_hand: u16) -> Result<Self> {
        let consuming = shared::amqp::connect(url, "vestibule worker: consumer").await?;
        let publishing = shared::amqp::connect(url, "vestibule worker: retries").await?;
        let looks = consuming.connection.create_channel().await?;
        topology.declare(&publishing.connection).await?;
        let copies = ConfirmedChannel::open(&publishing.connection).await?;
        let (acks, deliveries) = consume(&consuming, topology, in_hand).await?;
        let settler =
            Acknowledger { copies, topology: topology.clone(), doubt: Arc::default(), gone: CancellationToken::new() };
        Ok(Self { deliveries, settler, looks, acks, consuming, publishing })
    }

    /// The same on a new channel, with nothing in hand. What the broker believes to have sent over the old one goes
    /// back to the queue with it.
    pub(crate) async fn consume_anew(&mut self, in_hand: u16) -> Result<()> {
        let anew = async {
            self.acks.close(200, "bye".into()).await?;
            consume(&self.consuming, &self.settler.topology, in_hand).await
        };
        (self.acks, self.deliveries) = tokio::time::timeout(ANEW_TIMEOUT, anew).await??;
        Ok(())
    }

    pub(crate) fn is_well(&self) -> bool {
        let connections = [&self.consuming, &self.publishing].iter().all(|link| link.connection.status().connected());
        let channels = [&self.acks, &self.looks].iter().all(|channel| channel.status().connected());
        connections && channels && self.settler.copies.is_open()
    }

    /// The broker sends nothing more; what it has sent can still be acked.
    pub(crate) async fn stop_deliveries(&self) {
        // If it does not answer, the connection that is closed soon after says the same.
        let cancel = self.acks.basic_cancel(self.deliveries.tag(), BasicCancelOptions::default());
        let _ = tokio::time::timeout(Duration::from_secs(1), cancel).await;
    }

    /// Messages that were not acked go back to the queue.
    pub(crate) async fn close(self) {
        self.settler.gone.cancel();
        for link in [self.consuming, self.publishing] {
            link.close().await;
        }
    }
}

async fn consume(consuming: &Link, topology: &Topology, in_hand: u16) -> Result<(Channel, Consumer)> {
    let channel = consuming.connection.create_channel().await?;
    channel.basic_qos(in_hand, BasicQosOptions::default()).await?;
    let (queue, options) = (topology.queue.as_str().into(), BasicConsumeOptions::default());
    let deliveries = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
    Ok((channel, deliveries))
}
