//! What the end-to-end, fault and browser tests share: servers, processes and clients of a test's own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::new_without_default,
    reason = "a test that meets the unexpected has failed"
)]

pub mod client;
pub mod database;
pub mod event_listener;
pub mod fake_smtp;
pub mod forgot_password;
pub mod otlp_collector;
pub mod process;
pub mod proxy;
pub mod running;
pub mod scrape;
pub mod stack;
pub mod standalone;
