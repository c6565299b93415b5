//! Parser of email addresses: the worker can send a mail to every address that the API accepts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(address) = api::fuzzing::address(bytes) {
        assert!(address.parse::<lettre::Address>().is_ok(), "{address} cannot be mailed to");
    }
});
