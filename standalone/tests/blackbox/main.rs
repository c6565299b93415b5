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
mod collector;
mod costs;
mod database;
mod deaf;
mod deaths;
mod drill;
mod erasure;
mod escalation;
mod events;
mod farewells;
mod forgetting;
mod front;
mod guesses;
mod halves;
mod hosts;
mod housekeeping;
mod https;
mod journey;
mod languages;
mod leases;
mod listener;
mod mails;
mod metrics;
mod mixes;
mod mutes;
mod not_me;
mod outbox;
mod password_change;
mod passwords;
mod plans;
mod problems;
#[expect(dead_code, reason = "the processes' own tests use the rest")]
mod process;
#[expect(dead_code, reason = "the tests of faults use the rest")]
mod proxy;
mod readiness;
mod refusals;
mod register;
mod reset_guesses;
mod resets;
mod resets_alike;
mod resting;
mod roundtrips;
mod running;
mod schema;
mod sessions;
mod shares;
#[expect(dead_code, reason = "the worker's own tests use the rest")]
mod sink;
mod slots;
mod spec;
mod stack;
mod timing;
mod traces;
mod transport;
mod undeliverable;
mod vestibule;
mod watching;
