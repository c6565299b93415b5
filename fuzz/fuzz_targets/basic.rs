//! The Authorization header, as it comes and as it is meant.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api::fuzzing::basic(bytes));
