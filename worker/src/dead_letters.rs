//! Dead letters, for the operator: parked messages (RabbitMQ) and undeliverable mails (Postgres).

pub(crate) mod parked;
pub(crate) mod undeliverable;
