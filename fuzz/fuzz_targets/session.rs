//! What a mail client sends to the development SMTP server.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mailbox::fuzzing::session(bytes));
