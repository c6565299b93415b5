//! The command line of the `worker` binary, without any server.
//!
//! Cargo builds the binary for this test; the end-to-end tests (`tests/`) then start it.

use std::process::Command;

/// Neither needs a setting.
#[test]
fn help_and_unknown_commands_print_the_usage() {
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_worker")).env_clear().args(args).output().unwrap();
    for help in ["help", "--help"] {
        let output = run(&[help]);
        let usage = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(usage.contains("worker parked requeue ID | all") && usage.contains("--json"), "{usage}");
    }
    for unknown in [&["parked"][..], &["parked", "look"], &["parked", "show"], &["undeliverable", "drop"], &["wrok"]] {
        let output = run(unknown);
        let usage = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{unknown:?}: {usage}");
        assert!(usage.contains("worker undeliverable list"), "{usage}");
    }
}
