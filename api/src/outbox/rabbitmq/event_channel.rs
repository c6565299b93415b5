//! The channel for events. Mails use another one, because the broker closes this channel if the login may not use the
//! events exchange.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, Result};
use lapin::Connection;

use crate::outbox::rabbitmq::{
    Publisher,
    connection::ActiveConnection,
    publish_channel::{CONFIRM_TIMEOUT, PublishChannel},
};

/// How long a single event may wait for its confirm while others are confirmed: it must not keep its place from them, if one
/// subscriber's queue is unavailable. The window is such that a broker that is only slow does not take so long.
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The delay before a closed channel is opened again. The backoff of events is at least as long.
const REOPEN_DELAY: Duration = Duration::from_secs(30);

impl Publisher {
    /// Reopens the channel for events whenever it is closed.
    pub(crate) async fn keep_event_channel_open(
        &self,
        connection: &Connection,
        active: &ActiveConnection,
    ) -> Infallible {
        loop {
            tokio::time::sleep(REOPEN_DELAY).await;
            let is_open = active.events.borrow().as_ref().is_some_and(PublishChannel::is_open);
            if !is_open {
                let opened = self.open_event_channel(connection).await;
                active.events.send_replace(opened);
            }
        }
    }

    /// Opens the channel for events; `None` if that fails, which must not affect mails.
    pub(crate) async fn open_event_channel(&self, connection: &Connection) -> Option<PublishChannel> {
        let opening = tokio::time::timeout(CONFIRM_TIMEOUT, self.try_open_event_channel(connection));
        let opened = opening.await.context("the broker did not answer in time").flatten();
        opened.map_or_else(
            |error| {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot use the events exchange; events wait in the outbox"
                );
                None
            },
            Some,
        )
    }

    async fn try_open_event_channel(&self, connection: &Connection) -> Result<PublishChannel> {
        self.topology.declare_events(connection).await?;
        Ok(PublishChannel::open(connection, EVENT_TIMEOUT).await?)
    }
}
