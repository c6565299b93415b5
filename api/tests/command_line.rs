//! The command line of `api`, without a server.
//!
//! Cargo builds the program for this test; the end-to-end tests (`tests/`) then start it.

use std::process::Command;

/// Neither needs a setting.
#[test]
fn help_and_unknown_commands_print_the_usage() {
    let run = |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_api")).env_clear().args(words).output().unwrap();
    for asked in ["help", "--help"] {
        let output = run(&[asked]);
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(answer.contains("api outbox reemit") && answer.contains("goes out\ntwice"), "{answer}");
    }
    for wrong in [&["outbox", "purge"][..], &["serve"], &["migrate", "--json"]] {
        let output = run(wrong);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{wrong:?}: {said}");
        assert!(said.contains("api outbox reemit"), "{said}");
    }
}
