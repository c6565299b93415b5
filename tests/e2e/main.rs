//! Black-box tests: the real API and the real worker on real Postgres and RabbitMQ, seen from outside.
//!
//! They need servers at `DATABASE_URL` and `AMQP_URL`; `make test` starts private ones.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

mod account;
mod broker;
mod delivery;
mod http;
mod limits;
mod operations;
mod registration;
mod standalone;
