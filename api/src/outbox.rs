//! The transactional outbox: writes events, leases rows, publishes them to RabbitMQ with publisher confirms, and
//! publishes again what the broker has lost.

pub(crate) mod delivery;
pub(crate) mod event_poll;
pub(crate) mod events;
pub(crate) mod in_flight;
pub(crate) mod parked;
pub(crate) mod rabbitmq;
pub(crate) mod read_positions;
pub(crate) mod reemit;
pub(crate) mod relay;
pub(crate) mod rescuer;
