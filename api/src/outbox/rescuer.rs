//! The rescuer: finds messages that the broker has lost, and writes them into the outbox again. One API at a time does it.
//!
//! A message is missing if no worker has finished it, it is not in the outbox, and its queue was seen empty afterwards: then
//! a worker has it, or it is lost. Within [`Rescuer::rescue_after`] a worker finishes what it has, or notes that it gave it
//! back. A message that is still missing then is lost. It is published again under its own id, so if it should turn up after
//! all, the worker that gets the second copy finds the outcome of the first
//! (docs/decisions/0041-publish-lost-messages-again.md).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::anyhow;
use futures_util::FutureExt;
use shared::messages::{MailKind, MailQueue, Message};
use shared::telemetry::metrics::{Counter, Family};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    outbox::delivery::LookAtQueue,
    store::{
        Store,
        outbox::unfinished::{self, GivenBack},
        unacknowledged::{Cursor, Page, Unfinished},
    },
};

/// How many rounds begin until a message counts as lost.
const ROUNDS: u32 = 10;

/// After an outage of Postgres, workers first store what they did meanwhile.
const MAX_PAUSE_AFTER_OUTAGE: Duration = Duration::from_secs(15);

/// A transaction that writes a notice is committed within this time.
const MAX_TRANSACTION: Duration = Duration::from_secs(30);

/// With so many messages in its retry queues, a queue is not searched: the mail server is away, and would refuse what is found.
const MAX_RETRYING: u32 = 10_000;

/// Finds and publishes lost messages.
pub(crate) struct Rescuer {
    pub(crate) store: Store,
    /// Whether there is a connection to the broker.
    pub(crate) is_connected: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(crate) look_at_queue: LookAtQueue,
    /// Longer than a worker has a message.
    pub(crate) rescue_after: Duration,
    pub(crate) relay_wakeup: Arc<Notify>,
    /// Counts the messages that are published again, by kind.
    pub(crate) rescued: Arc<Family<1>>,
    pub(crate) postgres_errors: Counter,
}

/// Runs until `stop`. Rounds can be interrupted anywhere.
pub(crate) async fn run(rescuer: Rescuer, stop: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        () = rescuer.run_rounds() => Ok(()),
        () = stop.cancelled() => Ok(()),
    }
}

impl Rescuer {
    async fn run_rounds(&self) {
        let interval = self.rescue_after / ROUNDS;
        let mut is_failing = false;
        loop {
            tokio::time::sleep(interval).await;
            // A panic is most likely caused by a row. The process serves requests all the same.
            let round = AssertUnwindSafe(self.round(interval, is_failing)).catch_unwind().await;
            let result = round.unwrap_or_else(|_| Err(Error::Internal(anyhow!("panic; see the log above"))));
            let failed_before = std::mem::replace(&mut is_failing, result.is_err());
            if let Err(error) = result {
                self.postgres_errors.inc();
                // Once per outage.
                if !failed_before {
                    let error = anyhow::Error::from(error);
                    tracing::warn!(error = format!("{error:#}"), "search for lost messages failed; retrying later");
                }
            }
        }
    }

    async fn round(&self, interval: Duration, after_failure: bool) -> Result<(), Error> {
        // An API that cannot see the queues leaves the round to another one.
        if !(self.is_connected)() {
            return Ok(());
        }
        let pause = MAX_PAUSE_AFTER_OUTAGE.min(self.rescue_after);
        let begun = unfinished::begin_round(&self.store.connection().await?, interval, after_failure, pause).await?;
        let Some(round) = begun else { return Ok(()) };
        let mut searched_until = round.searched_until;
        for queue in MailQueue::ALL {
            let from = searched_until.of(queue);
            if self.search(queue, *from).await? {
                *from = round.began_at - MAX_TRANSACTION;
                if round.is_undisturbed {
                    self.publish_again(queue).await?;
                }
            }
        }
        unfinished::end_round(&self.store.connection().await?, searched_until).await?;
        Ok(())
    }

    /// Stores which messages of a queue are missing: codes that expire after this time, notices that were written after it.
    /// Returns whether all of them were searched.
    async fn search(&self, queue: MailQueue, from: OffsetDateTime) -> Result<bool, Error> {
        let mut is_empty = self.is_empty(queue).await?;
        let mut given_back = GivenBack::of(queue);
        while let Some(messages) = given_back.next_page(&self.store.connection().await?).await? {
            is_empty = is_empty && self.mark_missing(queue, messages).await?;
        }
        if !is_empty {
            return Ok(false);
        }
        for &kind in MailKind::ALL.iter().filter(|kind| kind.queue() == queue) {
            let mut messages = Unfinished::of(kind, Cursor::at(from));
            loop {
                let page = messages.next_page(&self.store.connection().await?).await?;
                let Some(Page { in_outbox, published, .. }) = page else { break };
                // A notice is searched for only once. Codes are searched for again.
                if queue == MailQueue::Notices && !in_outbox.is_empty() {
                    unfinished::note_in_outbox(&self.store.connection().await?, &in_outbox).await?;
                }
                if !self.mark_missing(queue, published).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Stores that these messages are missing if their queue is empty now, after they were read. Returns whether it was.
    async fn mark_missing(&self, queue: MailQueue, messages: Vec<Message>) -> Result<bool, Error> {
        if messages.is_empty() {
            return Ok(true);
        }
        let is_empty = self.is_empty(queue).await?;
        if is_empty {
            unfinished::mark_missing(&self.store.connection().await?, &messages).await?;
        }
        Ok(is_empty)
    }

    /// Whether no message of a queue is at the broker but those that workers have, and those that they gave back and noted.
    async fn is_empty(&self, queue: MailQueue) -> Result<bool, Error> {
        match (self.look_at_queue)(queue).await {
            None | Some(MAX_RETRYING..) => Ok(false),
            Some(0) => Ok(true),
            // Without a note of each, a worker cannot reach Postgres.
            Some(retrying) => {
                let noted = unfinished::count_retrying(&self.store.connection().await?, queue, retrying).await?;
                Ok(noted >= retrying.into())
            }
        }
    }

    async fn publish_again(&self, queue: MailQueue) -> Result<(), Error> {
        // A message that a worker had may be back in its queue.
        while self.is_empty(queue).await? {
            let connection = self.store.connection().await?;
            let published = unfinished::publish_again(&connection, queue, self.rescue_after).await?;
            let Some(messages) = published else { return Ok(()) };
            if messages.is_empty() {
                continue;
            }
            self.relay_wakeup.notify_one();
            for message in &messages {
                self.rescued.count([message.kind.name()]);
            }
            tracing::warn!(messages = messages.len(), "messages were lost by the broker; publishing them again");
        }
        Ok(())
    }
}
