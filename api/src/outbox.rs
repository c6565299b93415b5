//! The transactional outbox: writes events, leases rows, publishes them to RabbitMQ with publisher confirms, and
//! re-emits messages that were lost.

pub(crate) mod delivery;
pub(crate) mod event_poll;
pub(crate) mod events;
pub(crate) mod in_flight;
pub(crate) mod rabbitmq;
pub(crate) mod read_positions;
pub(crate) mod reemit;
pub(crate) mod relay;
