//! The pages in a real Chromium, before the real API and worker. `make test-browser` runs them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

mod boxes;
mod browser;
mod driver;
mod elsewhere;
mod errors;
mod evidence;
mod hands;
mod journey;
mod keyboard;
mod languages;
mod limits;
mod looks;
mod not_me;
mod ours;
mod outages;
mod pictures;
mod swagger;
mod views;
mod waiting;
mod watch;
