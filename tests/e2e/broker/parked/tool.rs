//! The worker's binary, as an operator calls it.

use std::process::{Command, Output};

use crate::broker::parked::broker::Broker;
use support::database;

pub(crate) const SECRETS: &str = "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NOWHERE: &str = "postgres://u:p@127.0.0.1:1/x";

pub(crate) fn worker(broker: &Broker) -> Command {
    let mut command = Command::new(support::process::program("worker"));
    command.env_clear().envs([
        ("DATABASE_URL", NOWHERE),
        ("AMQP_URL", &database::server("AMQP_URL")),
        ("AMQP_PREFIX", broker.topology.exchange.as_str()),
        ("SMTP_URL", "smtp://127.0.0.1:1"),
        ("CODE_SECRETS", SECRETS),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "info"),
    ]);
    command
}

pub(crate) fn run(broker: &Broker, words: &str) -> Output {
    worker(broker).args(words.split_whitespace()).output().unwrap()
}

/// The answer of a tool that did what it was asked to, and said nothing else.
pub(crate) fn tool(broker: &Broker, words: &str) -> String {
    let output = run(broker, words);
    let (answer, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && said.is_empty(), "{words}: {said}");
    answer
}

pub(crate) fn json(broker: &Broker, words: &str) -> serde_json::Value {
    serde_json::from_str(&tool(broker, &format!("{words} --json"))).unwrap()
}

pub(crate) fn ids(broker: &Broker) -> Vec<String> {
    let listed = json(broker, "parked list");
    listed["parked"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// What a tool says that could not do it.
pub(crate) fn refusal(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
    said
}
