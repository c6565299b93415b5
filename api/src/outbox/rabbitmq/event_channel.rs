//! The channel that events go over: not that of the mails, for the broker closes it over an exchange that it does not
//! let us have.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, Result};
use lapin::Connection;
use shared::amqp::confirms::ConfirmedChannel;

use crate::outbox::rabbitmq::{
    Publisher,
    connection::{CONFIRM_TIMEOUT, Live},
};

/// Before it is opened once more. Events rest as long at least.
const PAUSE: Duration = Duration::from_secs(30);

impl Publisher {
    /// Opens it again and again while it is closed.
    pub(crate) async fn keep_for_events(&self, connection: &Connection, live: &Live) -> Infallible {
        loop {
            tokio::time::sleep(PAUSE).await;
            let is_open = live.events.borrow().as_ref().is_some_and(ConfirmedChannel::is_open);
            if !is_open {
                let opened = self.open_for_events(connection).await;
                live.events.send_replace(opened);
            }
        }
    }

    /// What is wrong here is no mail's trouble.
    pub(crate) async fn open_for_events(&self, connection: &Connection) -> Option<ConfirmedChannel> {
        let opening = tokio::time::timeout(CONFIRM_TIMEOUT, self.try_for_events(connection));
        let opened = opening.await.context("the broker is too slow").flatten();
        opened.map_or_else(
            |error| {
                tracing::warn!(error = format!("{error:#}"), "events wait in the outbox: they have no exchange");
                None
            },
            Some,
        )
    }

    async fn try_for_events(&self, connection: &Connection) -> Result<ConfirmedChannel> {
        self.topology.declare_events(connection).await?;
        Ok(ConfirmedChannel::open(connection).await?)
    }
}
