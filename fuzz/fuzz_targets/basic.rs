//! Parser of the `Authorization` header (Basic credentials).
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api::fuzzing::basic(bytes));
