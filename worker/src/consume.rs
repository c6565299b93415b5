//! The AMQP loop: bounded work in hand, an outcome becomes ack, retry or park, and what is in hand is drained on stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Consumer as Stream,
    message::Delivery,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions,
    },
    types::{AMQPValue, FieldTable},
};
use secrecy::SecretString;
use shared::{
    process::DRAIN,
    topology::{self, TRACEPARENT, Topology},
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    handle::{Handler, Outcome},
    settle::pause_after,
    smtp::{Slot, server::Server},
};

const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a message was tried before stands in this header.
const ATTEMPTS: &str = "x-vestibule-attempts";

pub(crate) struct Consumer {
    pub(crate) url: SecretString,
    pub(crate) topology: Topology,
    pub(crate) handler: Arc<Handler>,
    pub(crate) server: Arc<Server>,
    pub(crate) concurrency: usize,
    pub(crate) is_up: Arc<AtomicBool>,
}

/// What is open while all is well. To consume and to publish are two connections: a broker that is
/// short of memory or disk stops reading from those that publish, and acks must still get through.
struct Open {
    consuming: Connection,
    publishing: Connection,
    acks: Channel,
    retries: Retries,
    deliveries: Stream,
}

/// Where messages go that must be tried again, or looked at by a person.
#[derive(Clone)]
struct Retries {
    channel: Channel,
    topology: Topology,
    /// Rung when a message could not be settled: the connections are replaced, and the broker gives
    /// everything that was not acked to somebody again.
    doubt: Arc<Notify>,
}

/// The slots at rest, and the messages that the others work on.
struct Hands {
    idle: Vec<Slot>,
    busy: JoinSet<Slot>,
}

impl Consumer {
    /// Connects, works, and starts over when anything goes wrong. Messages in hand are finished in any
    /// case: their end is on record even when their ack does not get through.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<()> {
        let idle = (0..self.concurrency).map(|_| Slot::new(Arc::clone(&self.server))).collect();
        let mut hands = Hands { idle, busy: JoinSet::new() };
        while !stop.is_cancelled() {
            let mut open = tokio::select! { open = self.open_for_sure() => open, () = stop.cancelled() => break };
            tracing::info!("connected to the broker");
            self.is_up.store(true, Ordering::Relaxed);
            let why = self.work(&mut open, &mut hands, &stop).await;
            self.is_up.store(false, Ordering::Relaxed);
            if stop.is_cancelled() {
                drain(&open, &mut hands).await;
            } else {
                tracing::warn!(why, "the connections to the broker are replaced");
            }
            for connection in [&open.consuming, &open.publishing] {
                // Unacked messages go back to the queue with it.
                let _ = tokio::time::timeout(Duration::from_secs(1), connection.close(200, "bye".into())).await;
            }
        }
        for slot in &mut hands.idle {
            slot.close().await;
        }
        Ok(())
    }

    /// Takes deliveries as long as there is a free slot; returns why it stopped.
    async fn work(&self, open: &mut Open, hands: &mut Hands, stop: &CancellationToken) -> &'static str {
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                Some(done) = hands.busy.join_next(), if !hands.busy.is_empty() => self.rest(hands, done),
                delivery = open.deliveries.next(), if !hands.idle.is_empty() => match delivery {
                    Some(Ok(delivery)) => self.take(open, hands, delivery),
                    Some(Err(_)) | None => return "the broker closed the consumer",
                },
                () = open.retries.doubt.notified() => return "a message could not be settled",
                // A channel that dies while we wait may say nothing more.
                _ = look.tick() => if !open.is_well() { return "a connection broke" },
                () = stop.cancelled() => return "stopping",
            }
        }
    }

    fn take(&self, open: &Open, hands: &mut Hands, delivery: Delivery) {
        let Some(mut slot) = hands.idle.pop() else { return };
        let (handler, retries) = (Arc::clone(&self.handler), open.retries.clone());
        let (message, trace) = (id_of(&delivery.properties), header_of(&delivery.properties, TRACEPARENT));
        let span = tracing::info_span!("message", message, trace);
        let work = async move {
            let outcome = handler.handle(&delivery.data, &mut slot).await;
            if let Err(error) = retries.settle(&delivery, outcome).await {
                tracing::warn!(error = format!("{error:#}"), "a message could not be settled: it will come again");
                retries.doubt.notify_one();
            }
            slot
        };
        hands.busy.spawn(work.instrument(span));
    }

    fn rest(&self, hands: &mut Hands, done: Result<Slot, tokio::task::JoinError>) {
        // A panic took the slot with it; its message was not acked and comes again.
        hands.idle.push(done.unwrap_or_else(|_| Slot::new(Arc::clone(&self.server))));
    }

    async fn open_for_sure(&self) -> Open {
        let again = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter();
        loop {
            let opening = || async { tokio::time::timeout(STEP_TIMEOUT * 2, self.open()).await? };
            let opened = opening.retry(again.without_max_times()).notify(|error, pause| {
                tracing::warn!(error = format!("{error:#}"), ?pause, "no connection to the broker");
            });
            if let Ok(open) = opened.await {
                return open;
            }
        }
    }

    async fn open(&self) -> Result<Open> {
        let consuming = topology::connect(&self.url, "vestibule worker: consumer").await?;
        let publishing = topology::connect(&self.url, "vestibule worker: retries").await?;
        let (acks, channel) = (consuming.create_channel().await?, publishing.create_channel().await?);
        self.topology.declare(&channel).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        acks.basic_qos(u16::try_from(self.concurrency)?, BasicQosOptions::default()).await?;
        let queue = self.topology.queue.as_str().into();
        let deliveries =
            acks.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        let retries = Retries { channel, topology: self.topology.clone(), doubt: Arc::default() };
        Ok(Open { consuming, publishing, acks, retries, deliveries })
    }
}

impl Open {
    fn is_well(&self) -> bool {
        let connections = [&self.consuming, &self.publishing].iter().all(|connection| connection.status().connected());
        connections && [&self.acks, &self.retries.channel].iter().all(|channel| channel.status().connected())
    }
}

/// Takes nothing new, and finishes what is in hand while there is time.
async fn drain(open: &Open, hands: &mut Hands) {
    let cancel = open.acks.basic_cancel(open.deliveries.tag(), BasicCancelOptions::default());
    let finish = async {
        let _ = cancel.await;
        while let Some(done) = hands.busy.join_next().await {
            hands.idle.extend(done.ok());
        }
    };
    // A second less than the process has, for goodbyes. What is cut off was not acked, so it comes again.
    if tokio::time::timeout(DRAIN.saturating_sub(Duration::from_secs(2)), finish).await.is_err() {
        tracing::warn!(left = hands.busy.len(), "messages in hand are given back");
        hands.busy.shutdown().await;
    }
}

impl Retries {
    async fn settle(&self, delivery: &Delivery, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Done => {}
            Outcome::Retry(why) => {
                let attempts = attempts_of(&delivery.properties);
                let seconds = pause_after(attempts);
                tracing::warn!(why, attempts, seconds, "will be tried again");
                let next = AMQPValue::LongUInt(attempts.saturating_add(1));
                self.publish(&self.topology.retry_queue(seconds), delivery, ATTEMPTS, next).await?;
            }
            Outcome::Park(why) => {
                tracing::error!(why, "parked");
                let why = AMQPValue::LongString(why.into());
                self.publish(&self.topology.parked, delivery, "x-vestibule-why", why).await?;
            }
        }
        // Only now: whatever happens before this line, the message comes again.
        let acked = tokio::time::timeout(STEP_TIMEOUT, delivery.ack(BasicAckOptions::default())).await??;
        if acked { Ok(()) } else { bail!("the channel it came on is closed") }
    }

    /// The same message on another queue, safely there when this returns.
    async fn publish(&self, queue: &str, delivery: &Delivery, header: &str, value: AMQPValue) -> Result<()> {
        let mut headers = delivery.properties.headers().clone().unwrap_or_default();
        headers.insert(header.into(), value);
        let properties = delivery.properties.clone().with_delivery_mode(2).with_headers(headers);
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        let publishing = async {
            let confirm =
                self.channel.basic_publish("".into(), queue.into(), mandatory, &delivery.data, properties).await?;
            anyhow::Ok(confirm.await?)
        };
        match tokio::time::timeout(STEP_TIMEOUT, publishing).await.context("no confirm in time")?? {
            Confirmation::Ack(None) => Ok(()),
            _ => bail!("the broker did not take it for {queue}"),
        }
    }
}

fn attempts_of(properties: &BasicProperties) -> u32 {
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(ATTEMPTS)) {
        Some(AMQPValue::LongUInt(attempts)) => *attempts,
        Some(AMQPValue::LongLongInt(attempts)) => u32::try_from(*attempts).unwrap_or(u32::MAX),
        _ => 0,
    }
}

fn id_of(properties: &BasicProperties) -> String {
    properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}

fn header_of(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        _ => None,
    }
}
