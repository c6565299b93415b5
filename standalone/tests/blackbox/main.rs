//! Black-box tests: the real API and the real worker on real Postgres and RabbitMQ, seen from outside.
//!
//! They need servers at `DATABASE_URL` and `AMQP_URL`; `make test` starts private ones.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

mod alike;
mod alone;
mod attacks;
mod broker;
mod budgets;
mod canaries;
mod client;
mod cluster;
mod codes;
mod costs;
mod database;
mod deaths;
mod drill;
mod escalation;
mod guesses;
mod halves;
mod https;
mod journey;
mod leases;
mod mails;
mod mixes;
mod outbox;
mod passwords;
mod plans;
mod problems;
#[expect(dead_code, reason = "the processes' own tests use the rest")]
mod process;
#[expect(dead_code, reason = "the tests of faults use the rest")]
mod proxy;
mod refusals;
mod register;
mod roundtrips;
mod running;
mod schema;
mod shares;
#[expect(dead_code, reason = "the worker's own tests use the rest")]
mod sink;
mod slots;
mod spec;
mod stack;
mod timing;
mod transport;
mod undeliverable;
mod vestibule;
