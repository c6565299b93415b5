//! Tests the command line of the `api` binary without a server.
//!
//! Cargo builds the binary for this test; the end-to-end tests (`tests/`) then start it.

use std::process::Command;

/// Both work without any setting.
#[test]
fn help_and_unknown_commands_print_the_usage() {
    let run =
        |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_api")).env_clear().args(arguments).output().unwrap();
    for help in ["help", "--help"] {
        let output = run(&[help]);
        let usage = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(usage.contains("api outbox reemit") && usage.contains("goes out\ntwice"), "{usage}");
    }
    for unknown in [&["outbox", "purge"][..], &["serve"], &["migrate", "--json"]] {
        let output = run(unknown);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{unknown:?}: {error}");
        assert!(error.contains("api outbox reemit"), "{error}");
    }
}
