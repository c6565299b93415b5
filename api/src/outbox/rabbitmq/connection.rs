//! Keeps one connection to the broker alive, to publish over.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use lapin::{Connection, ConnectionStatus, Event};
use secrecy::SecretString;
use shared::amqp::{Link, confirms::ConfirmedChannel};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Publisher;

/// Below what a stopping process may take.
pub(crate) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// Before another connection. Its queue must not be declared by us in the very moment in which somebody deletes it:
/// consumers would then hear nothing from it any more (docs/decisions/0026).
const PAUSE: Duration = Duration::from_millis(500);

/// What publishes go over, as long as it is in order.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) status: ConnectionStatus,
    pub(crate) mails: ConfirmedChannel,
    /// Their own, as long as the broker lets us have one.
    pub(crate) events: Arc<watch::Sender<Option<ConfirmedChannel>>>,
    /// Rung when a publish went wrong: the connection is replaced rather than understood. One for each
    /// connection, so that what failed on the last one does not spoil the next.
    pub(crate) doubt: Arc<Notify>,
    /// Whether the broker, being short of memory or disk, reads nothing of ours just now.
    blocked: Arc<watch::Sender<bool>>,
}

impl Publisher {
    /// Connects, declares, hands the channel to `publish`, and starts over when anything goes wrong.
    pub(crate) async fn supervise(self, url: SecretString, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            let again = ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(100))
                .with_max_delay(Duration::from_secs(5))
                .with_jitter()
                .without_max_times();
            let opening = (|| self.open(&url)).retry(again).notify(|error, pause| {
                tracing::warn!(error = format!("{error:#}"), ?pause, "no connection to the broker");
            });
            let (link, live) = tokio::select! {
                opened = opening => opened?,
                () = stop.cancelled() => break,
            };
            tracing::info!("connected to the broker");
            let why = tokio::select! {
                why = self.watch(&link.connection, &live) => why,
                never = self.keep_for_events(&link.connection, &live) => match never {},
                () = stop.cancelled() => "stopping",
            };
            // Who still waits for a confirm waits no longer than on any other connection.
            live.blocked.send_replace(false);
            self.blocked.set(0);
            if why == "stopping" {
                // The relay finishes its round with the channel it has.
                self.linger().await;
                link.close().await;
                break;
            }
            self.live.send_replace(None);
            tracing::warn!(why, "the connection to the broker is replaced");
            // Nothing is lost with it: what was not confirmed is still in the outbox.
            link.close().await;
            tokio::select! { () = tokio::time::sleep(PAUSE) => {}, () = stop.cancelled() => {} }
        }
        Ok(())
    }

    /// Returns why the connection is no good any more. One that the broker blocks, being short of memory
    /// or disk, is in order: it is kept, and nothing is published until it is unblocked. A new one in its
    /// place would only say the same again, and all of it would be heard in the end.
    async fn watch(&self, connection: &Connection, live: &Live) -> &'static str {
        // Listening comes first: what is published may be what it is blocked for.
        let mut events = std::pin::pin!(connection.events_listener());
        self.live.send_replace(Some(live.clone()));
        let mut look = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(why)) => {
                        tracing::warn!(why, "the broker takes nothing now: messages wait in the outbox");
                        live.blocked.send_replace(true);
                        self.blocked.set(1);
                        self.live.send_replace(None);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!("the broker takes messages again");
                        live.blocked.send_replace(false);
                        self.blocked.set(0);
                        self.live.send_replace(Some(live.clone()));
                    }
                    // Of the channel for events, perhaps.
                    Some(Event::Error(_)) if live.is_well() => {}
                    Some(Event::Error(_)) | None => return "the broker closed it",
                    Some(_) => {}
                },
                () = live.doubt.notified(), if !*live.blocked.borrow() => return "a publish failed",
                // Events tell at once; this finds what they did not.
                _ = look.tick() => if !live.is_well() {
                    return "it broke";
                },
            }
        }
    }

    async fn open(&self, url: &SecretString) -> Result<(Link, Live)> {
        let link = shared::amqp::connect_to_publish(url, "vestibule api: publisher").await?;
        let preparing = async {
            self.topology.declare(&link.connection).await?;
            anyhow::Ok(ConfirmedChannel::open(&link.connection).await?)
        };
        let mails = tokio::time::timeout(CONFIRM_TIMEOUT * 2, preparing).await.context("the broker is too slow")??;
        let events = self.open_for_events(&link.connection).await;
        let (events, blocked) = (Arc::new(watch::Sender::new(events)), Arc::new(watch::Sender::new(false)));
        let live = Live { status: link.connection.status().clone(), mails, events, doubt: Arc::default(), blocked };
        Ok((link, live))
    }

    /// When stopping, the relay may still have a round in hand: the connection stays until nobody publishes.
    async fn linger(&self) {
        let others_gone = async {
            while Arc::strong_count(&self.live) > 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(CONFIRM_TIMEOUT, others_gone).await;
    }
}

impl Live {
    fn is_well(&self) -> bool {
        self.status.connected() && self.mails.is_open()
    }

    /// Returns when a confirm is overdue. What the broker reads later is not late: to publish it once more
    /// would only have it mailed twice.
    pub(crate) async fn overdue(&self) {
        let mut blocked = self.blocked.subscribe();
        while blocked.wait_for(|blocked| !blocked).await.is_ok() {
            if tokio::time::timeout(CONFIRM_TIMEOUT, blocked.wait_for(|blocked| *blocked)).await.is_err() {
                return;
            }
        }
    }
}
