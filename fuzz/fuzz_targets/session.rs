//! What a mail client says to the inbox. `vestibule` is a program, which cannot be linked: its files are taken.
#![no_main]
#![expect(dead_code, reason = "the program uses the rest of them")]

#[path = "../../standalone/src/inbox"]
mod inbox {
    mod envelope;

    pub(super) mod smtp {
        pub(crate) mod fuzzing;
        mod session;
        mod wire;
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inbox::smtp::fuzzing::session(bytes));
