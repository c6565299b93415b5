//! RabbitMQ: outages, redelivery, events and parked messages.

pub(crate) mod cluster;
pub(crate) mod confirms;
pub(crate) mod consumer_recovery;
pub(crate) mod event_backpressure;
pub(crate) mod events;
pub(crate) mod held_snapshot;
pub(crate) mod outages;
pub(crate) mod parked;
pub(crate) mod poison;
pub(crate) mod relay_leases;
pub(crate) mod rescuer;
pub(crate) mod slow_confirms;
