//! The AMQP loop: takes so many messages at a time, and drains what is in hand when told to stop.

mod ack;
pub(crate) mod broker_status;
mod connection;
pub(crate) mod headers;

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Result;
use futures_util::StreamExt;
use lapin::{BasicProperties, message::Delivery, types::AMQPValue};
use secrecy::SecretString;
use shared::amqp::topology::{TRACEPARENT, Topology};
use shared::shutdown::DRAIN;
use shared::telemetry::traces::spans;
use tokio::{
    task::{self, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::delivery::handler::Handler;
use connection::Open;

/// Between two connections.
const PAUSE: Duration = Duration::from_millis(500);

/// Nothing comes to a consumer that the broker has forgotten, and it cannot tell that from quiet (docs/decisions/0026):
/// after so long it asks anew.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) struct Consumer {
    pub(crate) url: SecretString,
    pub(crate) topology: Topology,
    pub(crate) handler: Arc<Handler>,
    /// How many messages are worked on at the same time.
    pub(crate) in_hand: u16,
}

/// The messages that are worked on.
#[derive(Default)]
struct InFlight {
    busy: JoinSet<()>,
    ids: HashMap<task::Id, String>,
    /// Messages that are in hand already, come again: after a connection was lost, or published twice.
    /// They wait, so that the same thing is not mailed twice at a time.
    again: Vec<Delivery>,
}

impl Consumer {
    /// Connects, works, and starts over when anything goes wrong. Messages in hand are finished in any
    /// case: their end is on record even when their ack does not get through.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<()> {
        let (mut hands, hearing) = (InFlight::default(), &self.handler.health.hearing);
        hearing.closed();
        while !stop.is_cancelled() {
            let opening = Open::for_sure(&self.url, &self.topology, self.in_hand);
            let mut open = tokio::select! { open = opening => open, () = stop.cancelled() => break };
            tracing::info!("connected to the broker");
            hearing.open(open.looks.clone(), self.topology.clone());
            let why = self.work(&mut open, &mut hands, &stop).await;
            // They were this connection's to ack.
            hands.again.clear();
            hearing.closed();
            if stop.is_cancelled() {
                self.handler.slots.lend_no_more();
                open.stop_deliveries().await;
                hands.drain().await;
            } else {
                tracing::warn!(why, "the connections to the broker are replaced");
            }
            open.close().await;
            // Whatever made them break may do so again at once.
            tokio::select! { () = tokio::time::sleep(PAUSE) => {}, () = stop.cancelled() => {} }
        }
        // Without a broker there may still be mails in hand.
        self.handler.slots.lend_no_more();
        hands.drain().await;
        self.handler.slots.close().await;
        Ok(())
    }

    /// Takes deliveries as long as not too many are in hand; returns why it stopped.
    async fn work(&self, open: &mut Open, hands: &mut InFlight, stop: &CancellationToken) -> &'static str {
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                Some(done) = hands.busy.join_next_with_id(), if !hands.busy.is_empty() => {
                    heard = Instant::now();
                    self.rest(open, hands, done);
                }
                delivery = open.deliveries.next(), if hands.busy.len() < usize::from(self.in_hand) => match delivery {
                    Some(Ok(delivery)) => {
                        heard = Instant::now();
                        self.take(open, hands, delivery);
                    }
                    Some(Err(_)) | None => return "the broker closed the consumer",
                },
                () = open.settler.doubt.notified() => return "a message could not be settled",
                // A channel that dies while we wait may say nothing more.
                _ = look.tick() => if !open.is_well() {
                    return "a connection broke";
                } else if hands.busy.is_empty() && heard.elapsed() >= QUIET {
                    let anew = tokio::select! {
                        anew = open.consume_anew(self.in_hand) => anew,
                        () = stop.cancelled() => return "stopping",
                    };
                    if anew.is_err() {
                        return "the broker lets nobody consume anew";
                    }
                    heard = Instant::now();
                },
                () = stop.cancelled() => return "stopping",
            }
        }
    }

    fn take(&self, open: &Open, hands: &mut InFlight, delivery: Delivery) {
        let (id, trace) = (id_of(&delivery.properties), trace_of(&delivery.properties));
        if id.as_ref().is_some_and(|id| hands.ids.values().any(|in_hand| in_hand == id)) {
            hands.again.push(delivery);
            return;
        }
        let (handler, settler) = (Arc::clone(&self.handler), open.settler.clone());
        let traced = spans::message(trace.as_deref());
        let span = tracing::info_span!(parent: &traced, "message", id, trace);
        let of_trace = traced.clone();
        let work = async move {
            let outcome = handler.handle(&delivery.data).await;
            outcome.tell(&of_trace);
            settler.settle(&delivery, outcome).await;
        };
        let task = hands.busy.spawn(work.instrument(span).instrument(traced));
        hands.ids.extend(id.map(|id| (task.id(), id)));
    }

    /// A message is done with, and one that repeats it may have its turn.
    fn rest(&self, open: &Open, hands: &mut InFlight, done: Result<(task::Id, ()), JoinError>) {
        let task = done.map_or_else(|panic| panic.id(), |(task, ())| task);
        let Some(id) = hands.ids.remove(&task) else { return };
        let repetition = hands.again.iter().position(|delivery| id_of(&delivery.properties).as_ref() == Some(&id));
        if let Some(repetition) = repetition {
            let delivery = hands.again.swap_remove(repetition);
            self.take(open, hands, delivery);
        }
    }
}

impl InFlight {
    /// Finishes what is in hand while there is time; what is cut off was not acked, and comes again.
    async fn drain(&mut self) {
        let finish = async { while self.busy.join_next().await.is_some() {} };
        // The rest of the time is for goodbyes.
        if tokio::time::timeout(DRAIN.saturating_sub(Duration::from_secs(5)), finish).await.is_err() {
            tracing::warn!(left = self.busy.len(), "messages in hand are given back");
            self.busy.shutdown().await;
        }
    }
}

fn id_of(properties: &BasicProperties) -> Option<String> {
    properties.message_id().as_ref().map(ToString::to_string)
}

fn trace_of(properties: &BasicProperties) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(TRACEPARENT)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        _ => None,
    }
}
