//! The outbox: events, the relay that publishes rows, and the connection to RabbitMQ.

pub(crate) mod capacity;
pub(crate) mod delivery;
pub(crate) mod event_poll;
pub(crate) mod events;
pub(crate) mod in_flight;
pub(crate) mod rabbitmq;
pub(crate) mod reemit;
pub(crate) mod relay;
