//! The worker as a process: start-up errors, health check and shutdown.

use std::process::Command;

use support::{database::Database, process::Process};

fn worker(database_url: &str) -> Command {
    let mut command = Command::new(support::process::program("worker"));
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
fn worker_names_the_invalid_setting_at_startup() {
    for (name, value) in [
        ("SMTP_URL", "http://u:mail-canary@h"),
        ("WORKER_CONCURRENCY", "0"),
        ("MAIL_FROM", "not-an-address"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:canary@h"),
    ] {
        let output = worker("postgres://u:db-canary@127.0.0.1:1/x").env(name, value).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(name), "{name}: {stderr}");
        assert!(!stderr.contains("canary"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_without_broker_reports_failing_and_stops() {
    let database = Database::create().await;
    let mut process = Process::start(&mut worker(&database.url));
    let ops = process.address("ops");
    process.wait_for("no connection to the broker");
    let health = worker(&database.url).env("OPS_ADDR", ops).arg("health").output().unwrap();
    let stderr = String::from_utf8(health.stderr).unwrap();
    assert!(!health.status.success() && stderr.contains(r#""broker":"failing""#), "{stderr}");
    let (code, log) = process.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("canary") && !log.contains("c2VjcmV0"), "{log}");
}
