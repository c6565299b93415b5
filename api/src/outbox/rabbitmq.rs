//! Publishes outbox messages to RabbitMQ with publisher confirms.

mod connection;
mod event_channel;
mod publish_channel;
mod queue_look;

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use lapin::{
    BasicProperties, Confirmation,
    types::{AMQPValue, FieldTable},
};
use shared::amqp::{
    confirms::To,
    topology::{TRACEPARENT, Topology},
};
use shared::messages::Envelope;
use shared::telemetry::{
    metrics::{Gauge, Registry, names},
    traces::spans,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    domain::{
        cloud_event::Event, confirm_window::MIN_WINDOW, outbox_capacity::MaxInFlight, outbox_message::OutboxMessage,
    },
    outbox::delivery::{Deliver, DeliveryError, OutboxDelivery},
    rng,
};
use connection::ActiveConnection;

/// On shutdown: how long the relay waits for confirms. A message that is still not confirmed is released for another relay.
const CONFIRM_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The backoff of a message that the broker did not accept. It is random, so that APIs that failed together do not publish
/// everything again together.
const RETRY_DELAY_MS: RangeInclusive<u64> = 1_000..=2_000;

const EVENT_CONTENT_TYPE: &str = "application/cloudevents+json";

/// The RabbitMQ publisher. Clones share one connection, which [`Publisher::supervise`] keeps open.
#[derive(Clone)]
pub(crate) struct Publisher {
    topology: Topology,
    /// `None` while there is no connection, or the broker blocks it.
    active: Arc<watch::Sender<Option<ActiveConnection>>>,
    blocked: Gauge,
}

impl Publisher {
    /// A publisher without a connection; [`Publisher::supervise`] opens it.
    pub(crate) fn new(topology: Topology, metrics: &Registry) -> Self {
        Self { topology, active: Arc::new(watch::Sender::new(None)), blocked: metrics.one(names::BROKER_BLOCKED) }
    }

    /// The delivery through which the relay publishes.
    pub(crate) fn delivery(&self) -> OutboxDelivery {
        let (connection, windows) = (self.clone(), self.clone());
        OutboxDelivery {
            deliver: self.deliver(),
            is_up: Arc::new(move || connection.active.borrow().is_some()),
            max_in_flight: Arc::new(move || windows.max_in_flight()),
            look_at_queue: Some(self.look_at_queue()),
            drain_timeout: CONFIRM_DRAIN_TIMEOUT,
        }
    }

    /// The windows of the channels. Each connection begins with small ones.
    fn max_in_flight(&self) -> MaxInFlight {
        self.active.borrow().as_ref().map_or(MaxInFlight::of_each(MIN_WINDOW), ActiveConnection::max_in_flight)
    }

    fn deliver(&self) -> Deliver {
        let publisher = self.clone();
        Arc::new(move |message| {
            let publisher = publisher.clone();
            Box::pin(async move {
                let (name, traceparent) = message.trace();
                let span = spans::publish(name, traceparent);
                publisher.publish(message).await.inspect_err(|_| _ = span.record("failed", true))
            })
        })
    }

    /// Publishes one message and waits for its confirm.
    async fn publish(&self, message: OutboxMessage) -> Result<(), DeliveryError> {
        let Some(active) = self.active.borrow().clone() else {
            return Err(DeliveryError { error: anyhow!("no connection to the broker"), retry_after: retry_delay() });
        };
        let event_back_off = if let OutboxMessage::Event(event) = &message { Some(event.back_off()) } else { None };
        let Err(error) = self.send(&active, message).await else { return Ok(()) };
        if let Some(back_off) = event_back_off {
            // The queue of a subscriber may be full or unavailable. Mails share the connection but are not affected, so
            // it is not replaced for that: a broken connection is noticed without this.
            let retry_after = if active.connection.status().connected() { back_off } else { retry_delay() };
            return Err(DeliveryError { error: error.context("an event"), retry_after });
        }
        active.replacement_requested.notify_one();
        Err(DeliveryError { error, retry_after: retry_delay() })
    }

    async fn send(&self, active: &ActiveConnection, message: OutboxMessage) -> Result<()> {
        let channel = match message {
            OutboxMessage::Mail(_) => active.mails.clone(),
            OutboxMessage::Event(_) => active.events.borrow().clone().context("no channel for events")?,
        };
        let BrokerMessage { exchange, routing_key, mandatory, body, properties } = self.broker_message(message);
        let to = To { exchange, routing_key: &routing_key, mandatory };
        let awaited = channel.confirms.begin();
        let confirmation = tokio::select! {
            confirmation = channel.publish(to, body.as_bytes(), properties) => confirmation?,
            () = active.confirm_overdue(&awaited) => bail!("the broker did not confirm in time"),
        };
        awaited.arrived();
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            // The broker also acknowledges a mandatory message that it returns because no queue is bound.
            Confirmation::Ack(Some(_)) => bail!("the broker has no queue for the message"),
            Confirmation::Nack(_) => bail!("the broker refused the message"),
            Confirmation::NotRequested => bail!("the channel does not confirm"),
        }
    }

    fn broker_message(&self, message: OutboxMessage) -> BrokerMessage<'_> {
        match message {
            OutboxMessage::Mail(Envelope { message, traceparent }) => BrokerMessage {
                exchange: &self.topology.exchange,
                routing_key: message.kind.queue().routing_key().to_owned(),
                mandatory: true,
                body: message.to_json().to_string(),
                properties: properties("application/json", message.id, traceparent),
            },
            // Not mandatory: there may be no subscriber.
            OutboxMessage::Event(Event { id, kind, body, traceparent, .. }) => BrokerMessage {
                exchange: &self.topology.events,
                routing_key: kind,
                mandatory: false,
                body: body.to_string(),
                properties: properties(EVENT_CONTENT_TYPE, id, traceparent),
            },
        }
    }
}

fn retry_delay() -> Duration {
    rng::milliseconds_in(RETRY_DELAY_MS)
}

struct BrokerMessage<'a> {
    exchange: &'a str,
    routing_key: String,
    /// Whether the broker returns it if no queue is bound.
    mandatory: bool,
    body: String,
    properties: BasicProperties,
}

/// Persistent delivery, with the message id and the trace where tools look for them.
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
