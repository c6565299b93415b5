//! Runs the worker binary as an operator does.

use std::process::{Command, Output};

use crate::broker::parked::broker::Broker;
use support::database;

pub(crate) const SECRETS: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const UNREACHABLE_POSTGRES: &str = "postgres://u:p@127.0.0.1:1/x";

/// The worker binary with the queues of this test, and no Postgres or mail server.
pub(crate) fn worker_command(broker: &Broker) -> Command {
    let mut command = Command::new(support::process::program("worker"));
    command.env_clear().envs([
        ("DATABASE_URL", UNREACHABLE_POSTGRES),
        ("AMQP_URL", &database::server_url("AMQP_URL")),
        ("AMQP_PREFIX", broker.topology.exchange.as_str()),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
        ("CODE_SECRETS", SECRETS),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "info"),
    ]);
    command
}

/// Runs a subcommand of the worker.
pub(crate) fn run(broker: &Broker, arguments: &str) -> Output {
    worker_command(broker).args(arguments.split_whitespace()).output().unwrap()
}

/// Runs a subcommand that must succeed and print no error, and returns its standard output.
pub(crate) fn run_ok(broker: &Broker, arguments: &str) -> String {
    let output = run(broker, arguments);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{arguments}: {stderr}");
    stdout
}

/// Runs a subcommand with `--json`, and returns its output.
pub(crate) fn run_json(broker: &Broker, arguments: &str) -> serde_json::Value {
    serde_json::from_str(&run_ok(broker, &format!("{arguments} --json"))).unwrap()
}

/// The ids of the parked messages, in the order of `parked list`.
pub(crate) fn list_ids(broker: &Broker) -> Vec<String> {
    let listed = run_json(broker, "parked list");
    listed["parked"].as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

/// The standard error of a command that must have failed with code 1 and no output.
pub(crate) fn error_output(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{stderr}");
    stderr
}
