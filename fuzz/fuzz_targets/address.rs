//! The e-mail address of a registration; and what the API lets in, the worker can mail to.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(address) = api::fuzzing::address(bytes) {
        assert!(address.parse::<lettre::Address>().is_ok(), "{address} cannot be mailed to");
    }
});
