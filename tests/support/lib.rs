//! Test support for the end-to-end, fault and browser tests, and for the worker's SMTP tests.
//!
//! Start with [`stack::Stack`]: API, worker, database, AMQP prefix and [`fake_smtp::FakeSmtpServer`] for one test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::new_without_default,
    reason = "an unexpected value fails the test"
)]

pub mod client;
pub mod database;
pub mod event_subscriber;
pub mod fake_smtp;
pub mod forgot_password;
pub mod otlp_collector;
pub mod process;
pub mod proxy;
pub mod range_server;
pub mod running;
pub mod scrape;
pub mod slow_confirms;
pub mod stack;
pub mod standalone;
