//! Keeps one publishing connection to the broker open: connects with exponential backoff, watches it, and replaces it
//! when it fails.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use lapin::{Connection, Event};
use secrecy::SecretString;
use shared::amqp::Link;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{confirm_window::MIN_WINDOW, outbox_capacity::MaxInFlight},
    outbox::rabbitmq::{
        Publisher,
        publish_channel::{AwaitedConfirm, CONFIRM_TIMEOUT, PublishChannel},
    },
    rng,
};

/// How long a single mail may wait for its confirm while others are confirmed. That should never happen, so this is longer
/// than the smallest window takes on the slowest broker: it replaces the connection, and all mails in flight are published
/// again.
const MAIL_TIMEOUT: Duration = Duration::from_secs(60);

/// The delay before a replacement connection. The API must not declare the queue at the very moment in which an
/// operator deletes it: its consumers would then receive nothing from it any more (docs/decisions/0026). It is random, so
/// that all APIs do not connect at once.
const RECONNECT_DELAY_MS: RangeInclusive<u64> = 500..=1_500;

/// How often the state of the connection and its channel is checked.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The connection that messages are published over, while it is healthy.
#[derive(Clone)]
pub(crate) struct ActiveConnection {
    pub(crate) connection: Arc<Connection>,
    pub(crate) mails: PublishChannel,
    /// The channel for events; `None` while the broker does not grant one.
    pub(crate) events: Arc<watch::Sender<Option<PublishChannel>>>,
    /// Notified when a publish failed: the connection is replaced without looking for the cause. Each connection has
    /// its own, so that a failure on the last connection does not end the next one.
    pub(crate) replacement_requested: Arc<Notify>,
    /// Whether the broker has blocked the connection because it is short of memory or disk: it reads nothing from it.
    blocked: Arc<watch::Sender<bool>>,
}

impl Publisher {
    /// Connects, declares the topology, makes the channels available to `publish`, and reconnects when anything fails.
    /// Returns after `stop`, when no clone of the publisher is left to publish or [`CONFIRM_TIMEOUT`] has passed.
    pub(crate) async fn supervise(self, url: SecretString, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            let back_off = ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(100))
                .with_max_delay(Duration::from_secs(5))
                .with_jitter()
                .without_max_times();
            let opening = (|| self.open(&url)).retry(back_off).notify(|error, delay| {
                tracing::warn!(error = format!("{error:#}"), ?delay, "no connection to the broker");
            });
            let (link, active) = tokio::select! {
                opened = opening => opened?,
                () = stop.cancelled() => break,
            };
            tracing::info!("connected to the broker");
            // `None`: the process stops.
            let failure = tokio::select! {
                failure = self.watch(&link.connection, &active) => Some(failure),
                never = self.keep_event_channel_open(&link.connection, &active) => match never {},
                () = stop.cancelled() => None,
            };
            // While blocked, confirms have no timeout; those that are still awaited get the usual one from here on.
            active.set_blocked(false);
            self.blocked.set(0);
            let Some(reason) = failure else {
                // The relay finishes its messages in flight on the channels it has.
                self.wait_for_publishers().await;
                link.close().await;
                break;
            };
            self.active.send_replace(None);
            tracing::warn!(reason, "broker connection failed; reconnecting");
            // Nothing is lost with it: messages that were not confirmed are still in the outbox.
            link.close().await;
            let delay = rng::milliseconds_in(RECONNECT_DELAY_MS);
            tokio::select! { () = tokio::time::sleep(delay) => {}, () = stop.cancelled() => {} }
        }
        Ok(())
    }

    /// Returns the reason when the connection has to be replaced. A connection that the broker blocks, being short of
    /// memory or disk, is healthy: it is kept, and nothing is published until it is unblocked. A new connection would
    /// be blocked as well, and everything published on each of them would be delivered in the end.
    async fn watch(&self, connection: &Connection, active: &ActiveConnection) -> &'static str {
        // Subscribes before anything is published: a publish may be what the connection is blocked for.
        let mut events = std::pin::pin!(connection.events_listener());
        self.active.send_replace(Some(active.clone()));
        let mut health_check = tokio::time::interval(HEALTH_CHECK_INTERVAL);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "broker blocks publishing; messages wait in the outbox");
                        active.set_blocked(true);
                        self.blocked.set(1);
                        self.active.send_replace(None);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!("broker accepts messages again");
                        active.set_blocked(false);
                        self.blocked.set(0);
                        self.active.send_replace(Some(active.clone()));
                    }
                    // Perhaps an error of the channel for events only.
                    Some(Event::Error(_)) if active.is_healthy() => {}
                    Some(Event::Error(_)) | None => return "the broker closed the connection",
                    Some(_) => {}
                },
                () = active.replacement_requested.notified(), if !*active.blocked.borrow() => return "a publish failed",
                // Events report most failures at once; this finds the others.
                _ = health_check.tick() => if !active.is_healthy() {
                    return "the connection or its channel is closed";
                },
            }
        }
    }

    async fn open(&self, url: &SecretString) -> Result<(Link, ActiveConnection)> {
        let link = shared::amqp::connect_to_publish(url, "vestibule api: publisher").await?;
        let preparing = async {
            self.topology.declare(&link.connection).await?;
            anyhow::Ok(PublishChannel::open(&link.connection, MAIL_TIMEOUT).await?)
        };
        let preparing = tokio::time::timeout(CONFIRM_TIMEOUT * 2, preparing);
        let mails = preparing.await.context("the broker did not answer in time")??;
        let events = self.open_event_channel(&link.connection).await;
        let active = ActiveConnection {
            connection: Arc::clone(&link.connection),
            mails,
            events: Arc::new(watch::Sender::new(events)),
            replacement_requested: Arc::default(),
            blocked: Arc::new(watch::Sender::new(false)),
        };
        Ok((link, active))
    }

    /// On shutdown: keeps the connection until the relay has dropped its clones of the publisher.
    async fn wait_for_publishers(&self) {
        let publishers_gone = async {
            while Arc::strong_count(&self.active) > 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(CONFIRM_TIMEOUT, publishers_gone).await;
    }
}

impl ActiveConnection {
    fn is_healthy(&self) -> bool {
        self.connection.status().connected() && self.mails.is_open()
    }

    /// The windows of both channels.
    pub(crate) fn max_in_flight(&self) -> MaxInFlight {
        let events = self.events.borrow().as_ref().map_or(MIN_WINDOW, |events| events.confirms.window());
        MaxInFlight { mails: self.mails.confirms.window(), events }
    }

    fn set_blocked(&self, blocked: bool) {
        if !blocked {
            self.mails.confirms.restart_clock();
            if let Some(events) = &*self.events.borrow() {
                events.confirms.restart_clock();
            }
        }
        self.blocked.send_replace(blocked);
    }

    /// Returns when the confirm is overdue. Time during which the broker blocks the connection does not count: it
    /// confirms those messages later, and to publish them again would only mail them twice.
    pub(crate) async fn confirm_overdue(&self, awaited: &AwaitedConfirm<'_>) {
        let mut blocked = self.blocked.subscribe();
        while blocked.wait_for(|blocked| !blocked).await.is_ok() {
            tokio::select! {
                () = awaited.overdue() => return,
                _ = blocked.wait_for(|blocked| *blocked) => {}
            }
        }
    }
}
