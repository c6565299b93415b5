//! Fault tests: real processes on real servers, killed, disconnected and stalled under load.
//!
//! `make test-faults` runs them. `harness` holds what the tests share, `scenarios` the faults.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

mod harness;
mod scenarios;
