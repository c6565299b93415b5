//! A channel with publisher confirms that several tasks can use at once.
//!
//! lapin first assigns a delivery number to a message and then hands the message to the connection. If two tasks
//! interleave between these steps, the messages are sent in the other order and each receives the confirm of the other,
//! so that a message that the broker rejected or never received is taken for delivered. A lock around both steps
//! prevents this.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use lapin::{
    BasicProperties, Channel, Connection, PublisherConfirm, Result,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};

/// A channel in confirm mode. Clones share the channel.
#[derive(Clone)]
pub struct ConfirmedChannel {
    channel: Channel,
    send_lock: Arc<Mutex<()>>,
}

/// Where a message is published.
#[derive(Clone, Copy)]
pub struct To<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    /// Whether the broker returns the message if no queue is bound for it.
    pub mandatory: bool,
}

impl ConfirmedChannel {
    /// Opens a channel and enables publisher confirms.
    pub async fn open(connection: &Connection) -> Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, send_lock: Arc::default() })
    }

    /// Whether the channel can still publish.
    pub fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    /// Sends a message. The returned confirm completes when the broker has accepted or rejected it.
    pub async fn publish(&self, to: To<'_>, body: &[u8], properties: BasicProperties) -> Result<PublisherConfirm> {
        let (exchange, routing_key) = (to.exchange.into(), to.routing_key.into());
        let options = BasicPublishOptions { mandatory: to.mandatory, ..Default::default() };
        let mut publishing = pin!(self.channel.basic_publish(exchange, routing_key, options, body, properties));
        // The first poll does both steps; afterwards the future only waits for the socket.
        let first_poll = poll_fn(|context| {
            let _guard = self.send_lock.lock().unwrap_or_else(PoisonError::into_inner);
            Poll::Ready(publishing.as_mut().poll(context))
        });
        match first_poll.await {
            Poll::Ready(published) => published,
            Poll::Pending => publishing.await,
        }
    }
}
