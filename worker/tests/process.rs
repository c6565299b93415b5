//! The worker as a process: how it starts, what it says, how it ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected has failed")]

#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../../standalone/tests/blackbox/database.rs"]
mod database;
#[expect(dead_code, reason = "the black-box tests use the rest")]
#[path = "../../standalone/tests/blackbox/process.rs"]
mod process;

use std::process::Command;

use database::Database;
use process::Process;

fn worker(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.env_clear().envs([
        ("DATABASE_URL", database_url),
        ("AMQP_URL", "amqp://canary:broker-canary@127.0.0.1:1"),
        ("SMTP_URL", "smtp://canary:mail-canary@127.0.0.1:1"),
        ("CODE_SECRETS", "test:c2VjcmV0LWNhbmFyeS1zZWNyZXQtY2FuYXJ5LXNlY3JldA=="),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "trace"),
    ]);
    command
}

#[test]
fn a_bad_setting_stops_the_start_and_is_named() {
    for (name, value) in [
        ("SMTP_URL", "http://u:mail-canary@h"),
        ("WORKER_CONCURRENCY", "0"),
        ("MAIL_FROM", "nobody"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:canary@h"),
    ] {
        let output = worker("postgres://u:db-canary@127.0.0.1:1/x").env(name, value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(name), "{name}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

/// Neither needs any setting.
#[test]
fn who_asks_gets_the_usage_and_so_does_who_errs() {
    let run = |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_worker")).env_clear().args(words).output().unwrap();
    for asked in ["help", "--help"] {
        let output = run(&[asked]);
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(answer.contains("worker parked requeue ID | all") && answer.contains("--json"), "{answer}");
    }
    for wrong in [&["parked"][..], &["parked", "look"], &["parked", "show"], &["undeliverable", "drop"], &["wrok"]] {
        let output = run(wrong);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{wrong:?}: {said}");
        assert!(said.contains("worker undeliverable list"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_waits_tells_its_health_check_and_stops_when_told() {
    let database = Database::create().await;
    let mut process = Process::start(&mut worker(&database.url));
    let ops = process.address("ops");
    process.wait_for("no connection to the broker");
    let health = worker(&database.url).env("OPS_ADDR", ops).arg("health").output().unwrap();
    let said = String::from_utf8(health.stderr).unwrap();
    assert!(!health.status.success() && said.contains(r#""broker":"failing""#), "{said}");
    let (code, log) = process.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("canary") && !log.contains("c2VjcmV0"), "{log}");
}
