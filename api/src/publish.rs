//! The lapin outlet: publishes with confirms.

mod live;

use std::{sync::Arc, time::Duration};

use amqp::topology::{ROUTING_KEY, TRACEPARENT, Topology};
use anyhow::{Context, Result, anyhow, bail};
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable},
};
use shared::message::Envelope;
use tokio::sync::watch;

use self::live::Live;
use crate::relay::{Deliver, Undelivered};

/// How long a message rests that the broker did not take.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Publisher {
    topology: Topology,
    live: Arc<watch::Sender<Option<Live>>>,
}

impl Publisher {
    pub(crate) fn new(topology: Topology) -> Self {
        Self { topology, live: Arc::new(watch::Sender::new(None)) }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.live.borrow().is_some()
    }

    pub(crate) fn outlet(&self) -> Deliver {
        let publisher = self.clone();
        Arc::new(move |envelope| {
            let publisher = publisher.clone();
            Box::pin(async move {
                publisher.publish(&envelope).await.map_err(|why| Undelivered { why, again_after: PAUSE })
            })
        })
    }

    async fn publish(&self, envelope: &Envelope) -> Result<()> {
        let live = self.live.borrow().clone().context("no connection to the broker")?;
        let outcome = tokio::select! {
            outcome = self.send(&live.channel, envelope) => outcome,
            () = live.overdue() => Err(anyhow!("the broker did not confirm in time")),
        };
        if outcome.is_err() {
            live.doubt.notify_one();
        }
        outcome
    }

    async fn send(&self, channel: &Channel, envelope: &Envelope) -> Result<()> {
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        let (exchange, body) = (self.topology.exchange.as_str(), envelope.message.to_json().to_string());
        let confirm = channel
            .basic_publish(exchange.into(), ROUTING_KEY.into(), mandatory, body.as_bytes(), properties(envelope))
            .await?;
        failpoint::point("relay-after-publish");
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            // A message that found no queue is "acknowledged" too.
            Confirmation::Ack(Some(_)) => bail!("the broker has no queue for the message"),
            Confirmation::Nack(_) => bail!("the broker refused the message"),
            Confirmation::NotRequested => bail!("the channel does not confirm"),
        }
    }
}

/// How a message travels: persistent, and carrying its id and its trace where tools look for them.
fn properties(envelope: &Envelope) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(envelope.message.id.to_string().into());
    let mut headers = FieldTable::default();
    if let Some(traceparent) = &envelope.traceparent {
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(traceparent.as_str().into()));
    }
    properties.with_headers(headers)
}
