//! End-to-end tests: the real API and worker on real Postgres and RabbitMQ, tested through their public interfaces.
//!
//! They need servers at `DATABASE_URL` and `AMQP_URL`; `make test` starts private ones. Each test has its own database,
//! AMQP prefix and mail server (`support::stack::Stack`). Names with `s_NN_` are attacks (S-NN); `I-NN` in comments are
//! the invariants of `docs/RELIABILITY.md`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "an unexpected value fails the test")]

mod account;
mod broker;
mod delivery;
mod http;
mod limits;
mod operations;
mod registration;
mod standalone;
