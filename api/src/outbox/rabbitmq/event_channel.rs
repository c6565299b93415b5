//! The channel for events. Mails use another one, because the broker closes this channel if the login may not use the
//! events exchange.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, Result};
use lapin::Connection;
use shared::amqp::confirms::ConfirmedChannel;

use crate::outbox::rabbitmq::{
    Publisher,
    connection::{ActiveConnection, CONFIRM_TIMEOUT},
};

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
            let is_open = active.events.borrow().as_ref().is_some_and(ConfirmedChannel::is_open);
            if !is_open {
                let opened = self.open_event_channel(connection).await;
                active.events.send_replace(opened);
            }
        }
    }

    /// Opens the channel for events; `None` if that fails, which must not affect mails.
    pub(crate) async fn open_event_channel(&self, connection: &Connection) -> Option<ConfirmedChannel> {
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

    async fn try_open_event_channel(&self, connection: &Connection) -> Result<ConfirmedChannel> {
        self.topology.declare_events(connection).await?;
        Ok(ConfirmedChannel::open(connection).await?)
    }
}
