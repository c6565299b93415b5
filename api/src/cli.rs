//! The command line of `api`: the commands, and the operator tools with their output.

use anyhow::Result;
use serde_json::json;
use shared::postgres;

use crate::{
    Config,
    outbox::{
        parked::{self, Selection},
        reemit::{self, Reemitted},
    },
    store::{Store, outbox},
};

/// What `api help` prints.
pub const USAGE: &str = "\
api                     run the server
api migrate             migrate the database schema, and exit
api health              check whether the API on this machine is ready
api outbox              show how many messages wait for the broker, and the age of the oldest
api outbox reemit       do at once what the API does within RESCUE_AFTER_SECONDS after the broker lost messages:
                        write every mail that is still useful and has no outcome into the outbox again
api outbox parked       list the rows that could not be published, with the reason
api outbox requeue ID | all
                        move parked rows back to the outbox
api outbox drop ID      delete a parked row permanently
api help                print this help

With --json a tool prints one JSON document. The exit status is 0 on success, 1 if the tool failed, and 2 if
the command line was not understood.

reemit cannot see what is in the queue. A message that is still there is duplicated. Usually the worker finds
the recorded outcome of the first and mails nothing; but if two workers process both at once, the mail goes out
twice, with the same Message-ID and the same code.
";

/// What the process was started to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Serve,
    Migrate,
    Health,
    Help,
    Tool(Tool),
}

/// An operator tool, and whether it prints JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    task: Task,
    json: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    Outbox,
    Reemit,
    Parked,
    Requeue(Selection),
    Drop(String),
}

impl Command {
    /// Parses the arguments after the program's name; `None` if they are no known command.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Option<Self> {
        let (options, words): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|argument| argument == "--json");
        let json = !options.is_empty();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            [] if !json => Self::Serve,
            ["migrate"] if !json => Self::Migrate,
            ["health"] if !json => Self::Health,
            ["help" | "--help" | "-h"] => Self::Help,
            ["outbox"] => Self::Tool(Tool { task: Task::Outbox, json }),
            ["outbox", "reemit"] => Self::Tool(Tool { task: Task::Reemit, json }),
            ["outbox", "parked"] => Self::Tool(Tool { task: Task::Parked, json }),
            ["outbox", "requeue", "all"] => Self::Tool(Tool { task: Task::Requeue(Selection::All), json }),
            ["outbox", "requeue", id] => {
                Self::Tool(Tool { task: Task::Requeue(Selection::Id((*id).to_owned())), json })
            }
            ["outbox", "drop", id] => Self::Tool(Tool { task: Task::Drop((*id).to_owned()), json }),
            _ => return None,
        })
    }
}

/// Runs a tool and returns its output, which ends with a line break. An error is a message for the operator.
pub async fn answer(config: Config, tool: Tool) -> Result<String> {
    let store = Store::new(postgres::pool(&config.database_url, 1)?);
    let (text, json) = match tool.task {
        Task::Outbox => {
            let outbox::Backlog { waiting, leased, oldest_seconds } =
                outbox::backlog(&store.connection().await?).await?;
            let text = match oldest_seconds {
                Some(age) => {
                    format!(
                        "{waiting} message(s) waiting, {leased} of them leased by a relay; the oldest for {age} s.\n"
                    )
                }
                None => "Nothing waits in the outbox.\n".to_owned(),
            };
            (text, json!({ "waiting": waiting, "leased": leased, "oldest_seconds": oldest_seconds }))
        }
        Task::Reemit => {
            let Reemitted { codes, welcomes, warnings } = reemit::run(&store).await?;
            let text = format!(
                "{codes} code(s), {welcomes} welcome(s) and {warnings} warning(s) were written into the outbox again.\n"
            );
            (text, json!({ "codes": codes, "welcomes": welcomes, "warnings": warnings }))
        }
        Task::Parked => parked::list(&store).await?,
        Task::Requeue(selection) => parked::requeue(&store, &selection).await?,
        Task::Drop(id) => parked::drop(&store, &id).await?,
    };
    Ok(if tool.json { format!("{json:#}\n") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Command> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_documented_command_is_parsed() {
        let commands = [("", Command::Serve), ("migrate", Command::Migrate), ("health", Command::Health)];
        let tool = |task, json| Command::Tool(Tool { task, json });
        let tools = [
            ("help", Command::Help),
            ("--help", Command::Help),
            ("outbox", tool(Task::Outbox, false)),
            ("outbox --json", tool(Task::Outbox, true)),
            ("--json outbox reemit", tool(Task::Reemit, true)),
            ("outbox parked", tool(Task::Parked, false)),
            ("outbox requeue all", tool(Task::Requeue(Selection::All), false)),
            ("outbox requeue a --json", tool(Task::Requeue(Selection::Id("a".into())), true)),
            ("outbox drop a", tool(Task::Drop("a".into()), false)),
        ];
        for (line, command) in commands.into_iter().chain(tools) {
            assert_eq!(parse(line), Some(command), "{line}");
        }
    }

    #[test]
    fn unknown_commands_are_rejected() {
        for line in ["serve", "--json", "migrate --json", "outbox purge", "outbox reemit all", "outbox drop"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
