//! Command line of the worker: parses a command, runs it and formats its output.

use anyhow::Result;
use shared::postgres;

use crate::{
    Config,
    dead_letters::{Action, Selection, parked, undeliverable},
    store::Store,
};

/// The text of `worker help`.
pub const USAGE: &str = "\
worker                                       consume messages from RabbitMQ and send the mails over SMTP
worker health                                check whether the worker on this machine is ready

worker parked list                           list the parked messages (dead letters), with the reason
worker parked show ID                        show one parked message completely
worker parked requeue ID | all               put messages back into the work queue, to be tried again
worker parked drop ID                        delete a parked message permanently

worker undeliverable list                    list the mails that a mail server rejected permanently
worker undeliverable show ID                 show one mail, with its email address masked and without its code
worker undeliverable requeue ID | all        send mails again, if their code can still be used
worker undeliverable drop ID                 mark a mail as dropped, so that it is not listed any more

worker help                                  show this help

With --json, a parked or undeliverable command prints one JSON document. Exit status: 0 on success, 1 if the
command failed, 2 if it was not understood. A parked command holds the messages that it fetches,
unacknowledged, until it exits: a second command that runs at the same time does not see them, and no message
is lost if the command is killed. Every fetch counts as a delivery, and after 10 000 deliveries the broker
deletes a parked message: do not use these commands for monitoring.
";

/// What the process was started to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Work,
    Health,
    Help,
    Tool(Tool),
}

/// A command of the operator on parked messages or undeliverable mails.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    dead_letters: DeadLetterKind,
    action: Action,
    json: bool,
}

/// Which dead letters a command is about.
#[derive(Debug, PartialEq, Eq)]
enum DeadLetterKind {
    Parked,
    Undeliverable,
}

impl Command {
    /// Parses the arguments after the program's name; returns `None` for an unknown command.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Option<Self> {
        let all_args: Vec<_> = args.into_iter().collect();
        let args: Vec<_> = all_args.iter().map(String::as_str).filter(|arg| *arg != "--json").collect();
        let json = args.len() < all_args.len();
        let dead_letters = match args.as_slice() {
            [] if !json => return Some(Self::Work),
            ["health"] if !json => return Some(Self::Health),
            ["help" | "--help" | "-h"] => return Some(Self::Help),
            ["parked", ..] => DeadLetterKind::Parked,
            ["undeliverable", ..] => DeadLetterKind::Undeliverable,
            _ => return None,
        };
        let action = match args[1..] {
            ["list"] => Action::List,
            ["show", id] => Action::Show(id.to_owned()),
            ["requeue", "all"] => Action::Requeue(Selection::All),
            ["requeue", id] => Action::Requeue(Selection::Id(id.to_owned())),
            ["drop", id] => Action::Drop(id.to_owned()),
            _ => return None,
        };
        Some(Self::Tool(Tool { dead_letters, action, json }))
    }
}

/// Runs an operator's command and returns its output, which ends with a line break. The error is a sentence for the
/// operator.
pub async fn answer(config: Config, tool: Tool) -> Result<String> {
    let output = match tool.dead_letters {
        DeadLetterKind::Parked => parked::run(&config.amqp_url()?, &config.topology, &tool.action).await?,
        DeadLetterKind::Undeliverable => {
            let store = Store::new(postgres::pool(&config.database_url, 1)?);
            undeliverable::run(&store, &tool.action).await?
        }
    };
    Ok(if tool.json { output.to_json() } else { output.text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Command> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    fn tool(dead_letters: DeadLetterKind, action: Action, json: bool) -> Option<Command> {
        Some(Command::Tool(Tool { dead_letters, action, json }))
    }

    #[test]
    fn every_documented_command_is_parsed() {
        assert_eq!((parse(""), parse("health")), (Some(Command::Work), Some(Command::Health)));
        assert_eq!((parse("help"), parse("--help")), (Some(Command::Help), Some(Command::Help)));
        assert_eq!(parse("parked list"), tool(DeadLetterKind::Parked, Action::List, false));
        assert_eq!(parse("parked --json show a"), tool(DeadLetterKind::Parked, Action::Show("a".into()), true));
        assert_eq!(parse("parked requeue all"), tool(DeadLetterKind::Parked, Action::Requeue(Selection::All), false));
        let requeue_one = Action::Requeue(Selection::Id("a".into()));
        assert_eq!(parse("undeliverable requeue a --json"), tool(DeadLetterKind::Undeliverable, requeue_one, true));
        assert_eq!(parse("undeliverable drop a"), tool(DeadLetterKind::Undeliverable, Action::Drop("a".into()), false));
    }

    #[test]
    fn unknown_commands_are_rejected() {
        for line in [
            "work",
            "--json",
            "health --json",
            "parked",
            "parked look",
            "parked show",
            "parked drop",
            "parked drop a b",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
