//! Tests of the command line of `vestibule`; no service is started.
//!
//! Cargo builds the binary for this test; the end-to-end tests (`tests/`) start the same binary.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

use std::process::{Command, Output};

fn vestibule(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vestibule")).env_clear().args(arguments).output().unwrap()
}

#[test]
fn help_lists_the_options_and_an_unknown_option_fails() {
    let help = vestibule(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("--ephemeral") && text.contains("drill"), "{text}");
    let unknown = vestibule(&["--no-such-option"]);
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert!(unknown.status.code() == Some(2) && error.contains("--no-such-option"), "{error}");
}
