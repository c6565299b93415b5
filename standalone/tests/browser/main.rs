//! The pages in a real Chromium, before the real API and worker. `make test-browser` runs them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

mod boxes;
mod browser;
#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../blackbox/client.rs"]
mod client;
#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../blackbox/database.rs"]
mod database;
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
#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../blackbox/proxy.rs"]
mod proxy;
#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../blackbox/running.rs"]
mod running;
#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../blackbox/sink.rs"]
mod sink;
#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../blackbox/stack.rs"]
mod stack;
mod swagger;
mod views;
mod waiting;
mod watch;
