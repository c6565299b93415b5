//! What a mail server says to the worker.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| worker::fuzzing::replies(bytes));
