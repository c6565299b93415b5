//! Parser of the `X-Forwarded-For` header.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api::fuzzing::forwarded(bytes));
