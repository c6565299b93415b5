//! The AMQP loop: takes messages while a slot is free, and drains what is in hand when told to stop.

mod open;
mod settle;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use amqp::topology::{TRACEPARENT, Topology};
use anyhow::Result;
use futures_util::StreamExt;
use lapin::{BasicProperties, message::Delivery, types::AMQPValue};
use secrecy::SecretString;
use shared::process::DRAIN;
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::open::Open;
use crate::{
    handle::Handler,
    smtp::{Slot, server::Server},
};

/// Between two connections.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Consumer {
    pub(crate) url: SecretString,
    pub(crate) topology: Topology,
    pub(crate) handler: Arc<Handler>,
    pub(crate) server: Arc<Server>,
    pub(crate) concurrency: u16,
    pub(crate) is_up: Arc<AtomicBool>,
}

/// The slots at rest, and the messages that the others work on.
struct Hands {
    idle: Vec<Slot>,
    busy: JoinSet<Slot>,
    ids: HashMap<task::Id, String>,
    /// Messages that are in hand already, come again: after a connection was lost, or published twice.
    /// They wait, so that no two slots mail the same thing.
    again: Vec<Delivery>,
}

impl Consumer {
    /// Connects, works, and starts over when anything goes wrong. Messages in hand are finished in any
    /// case: their end is on record even when their ack does not get through.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<()> {
        let idle = (0..self.concurrency).map(|_| Slot::new(Arc::clone(&self.server))).collect();
        let mut hands = Hands { idle, busy: JoinSet::new(), ids: HashMap::new(), again: Vec::new() };
        while !stop.is_cancelled() {
            let opening = Open::for_sure(&self.url, &self.topology, self.concurrency);
            let mut open = tokio::select! { open = opening => open, () = stop.cancelled() => break };
            tracing::info!("connected to the broker");
            self.is_up.store(true, Ordering::Relaxed);
            let why = self.work(&mut open, &mut hands, &stop).await;
            // They were this connection's to ack.
            hands.again.clear();
            self.is_up.store(false, Ordering::Relaxed);
            if stop.is_cancelled() {
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
        hands.drain().await;
        futures_util::future::join_all(hands.idle.iter_mut().map(Slot::close)).await;
        Ok(())
    }

    /// Takes deliveries as long as there is a free slot; returns why it stopped.
    async fn work(&self, open: &mut Open, hands: &mut Hands, stop: &CancellationToken) -> &'static str {
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                Some(done) = hands.busy.join_next_with_id(), if !hands.busy.is_empty() => self.rest(open, hands, done),
                delivery = open.deliveries.next(), if !hands.idle.is_empty() => match delivery {
                    Some(Ok(delivery)) => self.take(open, hands, delivery),
                    Some(Err(_)) | None => return "the broker closed the consumer",
                },
                () = open.settler.doubt.notified() => return "a message could not be settled",
                // A channel that dies while we wait may say nothing more.
                _ = look.tick() => if !open.is_well() { return "a connection broke" },
                () = stop.cancelled() => return "stopping",
            }
        }
    }

    fn take(&self, open: &Open, hands: &mut Hands, delivery: Delivery) {
        let (id, trace) = (id_of(&delivery.properties), trace_of(&delivery.properties));
        if id.as_ref().is_some_and(|id| hands.ids.values().any(|in_hand| in_hand == id)) {
            hands.again.push(delivery);
            return;
        }
        // Without a free slot nothing is taken from the stream; dropped unacked, it would come again.
        let Some(mut slot) = hands.idle.pop() else { return };
        let (handler, settler) = (Arc::clone(&self.handler), open.settler.clone());
        let span = tracing::info_span!("message", id, trace);
        let work = async move {
            let outcome = handler.handle(&delivery.data, &mut slot).await;
            settler.settle(&delivery, outcome).await;
            slot
        };
        let task = hands.busy.spawn(work.instrument(span));
        hands.ids.extend(id.map(|id| (task.id(), id)));
    }

    /// Frees a slot, for a repetition of the same message if there is one.
    fn rest(&self, open: &Open, hands: &mut Hands, done: Result<(task::Id, Slot), JoinError>) {
        let (task, slot) = match done {
            Ok((task, slot)) => (task, slot),
            Err(panic) => (panic.id(), Slot::new(Arc::clone(&self.server))),
        };
        hands.idle.push(slot);
        let Some(id) = hands.ids.remove(&task) else { return };
        let repetition = hands.again.iter().position(|delivery| id_of(&delivery.properties).as_ref() == Some(&id));
        if let Some(repetition) = repetition {
            let delivery = hands.again.swap_remove(repetition);
            self.take(open, hands, delivery);
        }
    }
}

impl Hands {
    /// Finishes what is in hand while there is time; what is cut off was not acked, and comes again.
    async fn drain(&mut self) {
        let finish = async {
            while let Some(done) = self.busy.join_next().await {
                self.idle.extend(done.ok());
            }
        };
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
