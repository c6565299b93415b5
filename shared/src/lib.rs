//! Code that the API and the worker share: the wire contract between them, and process start-up, telemetry and
//! shutdown.
//!
//! A module belongs here only if the processes would misunderstand each other when two copies of it diverged, or if
//! every process needs it to start, to report its health or to stop. Code that only one process needs stays in that
//! process.

pub mod amqp;
pub mod codes;
pub mod config;
pub mod fault_points;
pub mod mail_link;
pub mod messages;
pub mod postgres;
pub mod secret_key;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
