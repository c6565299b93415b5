//! A channel whose every publish is confirmed, for any number of tasks at once.
//!
//! lapin counts a message, and then hands it to the connection. Another that comes between the two is sent first, and each
//! has the confirm of the other: what the broker refused, or never saw, is taken for delivered. So one message at a
//! time does both.

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

#[derive(Clone)]
pub struct ConfirmedChannel {
    channel: Channel,
    turn: Arc<Mutex<()>>,
}

#[derive(Clone, Copy)]
pub struct To<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    /// Whether there must be a queue for it.
    pub mandatory: bool,
}

impl ConfirmedChannel {
    pub async fn open(connection: &Connection) -> Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, turn: Arc::default() })
    }

    pub fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    pub async fn publish(&self, to: To<'_>, body: &[u8], properties: BasicProperties) -> Result<PublisherConfirm> {
        let (exchange, routing_key) = (to.exchange.into(), to.routing_key.into());
        let options = BasicPublishOptions { mandatory: to.mandatory, ..Default::default() };
        let mut publishing = pin!(self.channel.basic_publish(exchange, routing_key, options, body, properties));
        // Both are done when it is polled for the first time; what it then waits for is the socket.
        let begun = poll_fn(|context| {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            Poll::Ready(publishing.as_mut().poll(context))
        });
        match begun.await {
            Poll::Ready(published) => published,
            Poll::Pending => publishing.await,
        }
    }
}
