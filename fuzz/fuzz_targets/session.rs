//! Development SMTP server of the mailbox: arbitrary input of a mail client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mailbox::fuzzing::session(bytes));
