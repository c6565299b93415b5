//! Parser of the `Accept-Language` header.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api::fuzzing::languages(bytes));
