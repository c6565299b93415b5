//! The lapin delivery: publishes with confirms.

mod connection;
mod event_channel;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use lapin::{
    BasicProperties, Confirmation,
    types::{AMQPValue, FieldTable},
};
use shared::amqp::{
    confirms::To,
    topology::{ROUTING_KEY, TRACEPARENT, Topology},
};
use shared::messages::Envelope;
use shared::telemetry::{
    metrics::{Number, Registry, names},
    traces::spans,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    domain::cloud_event::Event,
    outbox::delivery::{Deliver, DeliveryError, OutboxMessage},
};
use connection::Live;

/// How long a message rests that the broker did not take.
const PAUSE: Duration = Duration::from_secs(1);

const EVENT_CONTENT_TYPE: &str = "application/cloudevents+json";

#[derive(Clone)]
pub(crate) struct Publisher {
    topology: Topology,
    live: Arc<watch::Sender<Option<Live>>>,
    blocked: Arc<Number>,
}

impl Publisher {
    pub(crate) fn new(topology: Topology, metrics: &Registry) -> Self {
        Self { topology, live: Arc::new(watch::Sender::new(None)), blocked: metrics.one(names::BROKER_BLOCKED) }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.live.borrow().is_some()
    }

    pub(crate) fn delivery(&self) -> Deliver {
        let publisher = self.clone();
        Arc::new(move |outgoing| {
            let publisher = publisher.clone();
            Box::pin(async move {
                let (what, trace) = outgoing.trace();
                let span = spans::publish(what, trace);
                publisher.publish(outgoing).await.inspect_err(|_| _ = span.record("failed", true))
            })
        })
    }

    async fn publish(&self, outgoing: OutboxMessage) -> Result<(), DeliveryError> {
        let Some(live) = self.live.borrow().clone() else {
            return Err(DeliveryError { why: anyhow!("no connection to the broker"), again_after: PAUSE });
        };
        let rest = if let OutboxMessage::Event(event) = &outgoing { Some(event.rest()) } else { None };
        let outcome = tokio::select! {
            outcome = self.send(&live, outgoing) => outcome,
            () = live.overdue() => Err(anyhow!("the broker did not confirm in time")),
        };
        let Err(why) = outcome else { return Ok(()) };
        if let Some(rest) = rest {
            // A queue of somebody who listens may be full, or away. The mails have the same connection, and nothing
            // to do with that: if it is the connection that is broken, it is seen without this.
            let again_after = if live.status.connected() { rest } else { PAUSE };
            return Err(DeliveryError { why: why.context("an event"), again_after });
        }
        live.doubt.notify_one();
        Err(DeliveryError { why, again_after: PAUSE })
    }

    async fn send(&self, live: &Live, outgoing: OutboxMessage) -> Result<()> {
        let channel = match outgoing {
            OutboxMessage::Mail(_) => live.mails.clone(),
            OutboxMessage::Event(_) => live.events.borrow().clone().context("events have no exchange")?,
        };
        let Publishing { exchange, routing_key, mandatory, body, properties } = self.publishing(outgoing);
        let to = To { exchange, routing_key: &routing_key, mandatory };
        let confirm = channel.publish(to, body.as_bytes(), properties).await?;
        shared::fault_points::point("relay-after-publish");
        match confirm.await? {
            Confirmation::Ack(None) => Ok(()),
            // A message that found no queue is "acknowledged" too.
            Confirmation::Ack(Some(_)) => bail!("the broker has no queue for the message"),
            Confirmation::Nack(_) => bail!("the broker refused the message"),
            Confirmation::NotRequested => bail!("the channel does not confirm"),
        }
    }

    fn publishing(&self, outgoing: OutboxMessage) -> Publishing<'_> {
        match outgoing {
            OutboxMessage::Mail(Envelope { message, traceparent }) => Publishing {
                exchange: &self.topology.exchange,
                routing_key: ROUTING_KEY.to_owned(),
                mandatory: true,
                body: message.to_json().to_string(),
                properties: properties("application/json", message.id, traceparent),
            },
            // Nobody has to listen.
            OutboxMessage::Event(Event { id, kind, body, traceparent, .. }) => Publishing {
                exchange: &self.topology.events,
                routing_key: kind,
                mandatory: false,
                body: body.to_string(),
                properties: properties(EVENT_CONTENT_TYPE, id, traceparent),
            },
        }
    }
}

struct Publishing<'a> {
    exchange: &'a str,
    routing_key: String,
    mandatory: bool,
    body: String,
    properties: BasicProperties,
}

/// How a message travels: persistent, and carrying its id and its trace where tools look for them.
fn properties(content_type: &str, id: Uuid, traceparent: Option<String>) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type(content_type.into())
        .with_message_id(id.to_string().into());
    let mut headers = FieldTable::default();
    if let Some(traceparent) = traceparent {
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(traceparent.into()));
    }
    properties.with_headers(headers)
}
