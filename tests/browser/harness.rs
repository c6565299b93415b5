//! The browser under test: starts Chromium, drives the pages and reports what they did wrong.

pub(crate) mod browser;
pub(crate) mod driver;
mod evidence;
mod interaction;
mod page_monitor;
pub(crate) mod views;
