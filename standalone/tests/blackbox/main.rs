//! Black-box tests: the real API and the real worker on real Postgres and RabbitMQ, seen from outside.
//!
//! They need servers at `DATABASE_URL` and `AMQP_URL`; `make test` starts private ones.

mod alike;
mod client;
mod codes;
mod database;
mod faults;
mod journey;
mod mails;
mod problems;
mod proxy;
mod register;
mod schema;
mod sink;
mod spec;
mod stack;
