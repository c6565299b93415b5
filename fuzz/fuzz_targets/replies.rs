//! SMTP client of the worker: arbitrary replies of a mail server.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| worker::fuzzing::replies(bytes));
