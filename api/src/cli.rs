//! The commands of the API's process: what can be asked for, and what is answered.

use anyhow::Result;
use serde_json::json;
use shared::postgres;

use crate::{
    Config,
    outbox::reemit::{self, Reemitted},
    store::{Store, outbox},
};

pub const USAGE: &str = "\
api                     serve
api migrate             bring the schema up to date, and nothing else
api health              ask the API on this machine whether it is ready
api outbox              how many messages wait to be handed to the broker, and how long the oldest has waited
api outbox reemit       after a queue was deleted, or a broker lost its data: have every mail that is still of
                        use, and of which nobody knows how it ended, written into the outbox again
api help                this

With --json the answer of a tool is one JSON document. A tool ends with 0, with 1 if it could not do what it
was asked to, and with 2 if it did not understand.

reemit cannot see what is in the queue. Of a message that is still there, there will be two: the second is
found on record, and nothing is mailed; but if two workers take both at the same moment, the mail goes out
twice, with the same Message-ID and the same code.
";

/// What a process is started for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Serve,
    Migrate,
    Health,
    Help,
    Tool(Tool),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    task: Task,
    json: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    Outbox,
    Reemit,
}

impl Command {
    /// From the words after the program's name; `None` if nobody knows what they mean.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let (options, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word == "--json");
        let json = !options.is_empty();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            [] if !json => Self::Serve,
            ["migrate"] if !json => Self::Migrate,
            ["health"] if !json => Self::Health,
            ["help" | "--help" | "-h"] => Self::Help,
            ["outbox"] => Self::Tool(Tool { task: Task::Outbox, json }),
            ["outbox", "reemit"] => Self::Tool(Tool { task: Task::Reemit, json }),
            _ => return None,
        })
    }
}

/// Does what is asked for. The answer ends with a line break; an error is a sentence for the operator.
pub async fn answer(config: Config, tool: Tool) -> Result<String> {
    let store = Store::new(postgres::pool(&config.database_url, 1)?);
    let (text, json) = match tool.task {
        Task::Outbox => {
            let outbox::State { waiting, leased, oldest_seconds } = outbox::state(&store.connection().await?).await?;
            let text = match oldest_seconds {
                Some(age) => format!("{waiting} wait, {leased} of them in a relay's hand; the oldest for {age} s.\n"),
                None => "Nothing waits in the outbox.\n".to_owned(),
            };
            (text, json!({ "waiting": waiting, "leased": leased, "oldest_seconds": oldest_seconds }))
        }
        Task::Reemit => {
            let Reemitted { codes, welcomes, warnings, unreadable } = reemit::run(&store, &config.ring).await?;
            let mut text = format!(
                "{codes} code(s), {welcomes} welcome(s) and {warnings} warning(s) were written into the outbox again.\n"
            );
            if unreadable > 0 {
                let why = "left out: CODE_SECRETS lack the key that made their codes";
                text.push_str(&format!("{unreadable} were {why}.\n"));
            }
            (text, json!({ "codes": codes, "welcomes": welcomes, "warnings": warnings, "unreadable": unreadable }))
        }
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
    fn every_command_of_the_usage_is_understood() {
        let commands = [("", Command::Serve), ("migrate", Command::Migrate), ("health", Command::Health)];
        let tool = |task, json| Command::Tool(Tool { task, json });
        let tools = [
            ("help", Command::Help),
            ("--help", Command::Help),
            ("outbox", tool(Task::Outbox, false)),
            ("outbox --json", tool(Task::Outbox, true)),
            ("--json outbox reemit", tool(Task::Reemit, true)),
        ];
        for (line, command) in commands.into_iter().chain(tools) {
            assert_eq!(parse(line), Some(command), "{line}");
        }
    }

    #[test]
    fn what_nobody_understands_is_nothing() {
        for line in ["serve", "--json", "migrate --json", "outbox purge", "outbox reemit all"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
