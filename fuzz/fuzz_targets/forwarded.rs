//! X-Forwarded-For.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api::fuzzing::forwarded(bytes));
