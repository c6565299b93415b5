//! What the processes of Vestibule must agree on, and how each of them starts, is observed and stops.
//!
//! A module enters only if the processes would misunderstand each other when two copies of it drifted, or if every
//! process needs it to start, to report its health or to stop. What only one process needs is not shared.

pub mod amqp;
pub mod codes;
pub mod config;
pub mod fault_points;
pub mod messages;
pub mod not_me_link;
pub mod postgres;
pub mod shutdown;
pub mod telemetry;
