//! The commands of the worker's process: what can be asked for, and what is answered.

mod print;

use anyhow::Result;
pub(crate) use print::{Answer, masked, printable, table, time};
use shared::postgres;

use crate::{
    Config,
    dead_letters::{parked, undeliverable},
    store::Store,
};

pub const USAGE: &str = "\
worker                                       take messages from the queue, and hand mails to a mail server
worker health                                ask the worker on this machine whether it is ready

worker parked list                           the messages that nobody could read, with the reason
worker parked show ID                        all of one message
worker parked requeue ID | all               back to the workers, to be tried again
worker parked drop ID                        away with it, for good

worker undeliverable list                    the mails that a mail server refused for good
worker undeliverable show ID                 all of one mail, but for its address and its code
worker undeliverable requeue ID | all        to be mailed again, if the code can still be used
worker undeliverable drop ID                 settled: it is not listed any more

worker help                                  this

With --json the answer of a tool is one JSON document. A tool ends with 0, with 1 if it could not do what it
was asked to, and with 2 if it did not understand. What it takes out of the queue is in its hands until it
ends: a second tool beside it does not see those messages, and none is lost if it is killed. Each look counts
as a delivery, and after 10 000 the broker throws a parked message away: this is for people, not for monitoring.
";

/// What a process is started for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Work,
    Health,
    Help,
    Tool(Tool),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    subject: Subject,
    verb: Verb,
    json: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Parked,
    Undeliverable,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    List,
    Show(String),
    Requeue(Which),
    Drop(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    One(String),
}

impl Command {
    /// From the words after the program's name; `None` if nobody knows what they mean.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut words: Vec<_> = words.into_iter().collect();
        let json = words.len();
        words.retain(|word| word != "--json");
        let json = json > words.len();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let subject = match words.as_slice() {
            [] if !json => return Some(Self::Work),
            ["health"] if !json => return Some(Self::Health),
            ["help" | "--help" | "-h"] => return Some(Self::Help),
            ["parked", ..] => Subject::Parked,
            ["undeliverable", ..] => Subject::Undeliverable,
            _ => return None,
        };
        let verb = match words[1..] {
            ["list"] => Verb::List,
            ["show", id] => Verb::Show(id.to_owned()),
            ["requeue", "all"] => Verb::Requeue(Which::All),
            ["requeue", id] => Verb::Requeue(Which::One(id.to_owned())),
            ["drop", id] => Verb::Drop(id.to_owned()),
            _ => return None,
        };
        Some(Self::Tool(Tool { subject, verb, json }))
    }
}

/// Does what is asked for. The answer ends with a line break; an error is a sentence for the operator.
pub async fn answer(config: Config, tool: Tool) -> Result<String> {
    let answer = match tool.subject {
        Subject::Parked => parked::answer(&config.amqp_url()?, &config.topology, &tool.verb).await?,
        Subject::Undeliverable => {
            let store = Store::new(postgres::pool(&config.database_url, 1)?);
            undeliverable::answer(&store, &config.ring, &tool.verb).await?
        }
    };
    Ok(if tool.json { answer.document() } else { answer.text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Command> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    fn tool(subject: Subject, verb: Verb, json: bool) -> Option<Command> {
        Some(Command::Tool(Tool { subject, verb, json }))
    }

    #[test]
    fn every_command_of_the_usage_is_understood() {
        assert_eq!((parse(""), parse("health")), (Some(Command::Work), Some(Command::Health)));
        assert_eq!((parse("help"), parse("--help")), (Some(Command::Help), Some(Command::Help)));
        assert_eq!(parse("parked list"), tool(Subject::Parked, Verb::List, false));
        assert_eq!(parse("parked --json show a"), tool(Subject::Parked, Verb::Show("a".into()), true));
        assert_eq!(parse("parked requeue all"), tool(Subject::Parked, Verb::Requeue(Which::All), false));
        let one = Verb::Requeue(Which::One("a".into()));
        assert_eq!(parse("undeliverable requeue a --json"), tool(Subject::Undeliverable, one, true));
        assert_eq!(parse("undeliverable drop a"), tool(Subject::Undeliverable, Verb::Drop("a".into()), false));
    }

    #[test]
    fn what_nobody_understands_is_nothing() {
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
