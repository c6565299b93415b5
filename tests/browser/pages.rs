//! The scenarios, grouped by what they test.

mod accessibility;
mod code_delivery;
mod code_input;
mod errors;
mod journey;
mod keyboard;
mod languages;
mod not_me;
mod other_devices;
mod outages;
mod page_monitor;
mod rate_limits;
mod screenshots;
mod swagger;
