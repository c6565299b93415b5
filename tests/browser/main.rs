//! Tests of the pages in a real Chromium, against the real API and worker. `make test-browser` runs them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

mod harness;
mod pages;
