//! What is said on the command line.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

pub(crate) enum Wanted {
    Service(Arguments),
    Drill(drill::arguments::Arguments),
    Text(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) data: PathBuf,
    pub(crate) ephemeral: bool,
    pub(crate) port: Option<u16>,
}

const HELP: &str = "\
Vestibule: people sign up with e-mail and password and come in with the code that is mailed to them.
API, queue, worker, database and an inbox for the mails, all in this process.

Usage: vestibule [--port N] [--data DIR | --ephemeral]        (cargo run -- [...])
       vestibule drill URL        attacks a running one; vestibule drill --help

  --port N      the port of the API; 8000 unless API_ADDR says otherwise
  --data DIR    where secrets, database and mails are kept; ./data if not given
  --ephemeral   keep nothing: the data lies in a temporary folder that goes at the end
  --help        say this
  --version     say which version this is

Settings are environment variables; .env.example in the repository lists them all. What is set takes the
place of what is embedded, in any mix:

  DATABASE_URL  a Postgres server instead of the embedded one
  AMQP_URL      RabbitMQ between outbox and worker instead of the direct way
  SMTP_URL      a real mail server instead of the inbox
  CODE_SECRETS  your own secrets instead of those in the data folder
  INBOX_ADDR    where the inbox is found; 127.0.0.1:1080
";

impl Arguments {
    pub(crate) fn parse(mut parser: Parser) -> Result<Wanted, lexopt::Error> {
        let (mut data, mut ephemeral, mut port) = (None, false, None);
        let mut first = true;
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(command) if first && command == "drill" => return parse_drill(&mut parser),
                Arg::Long("data") => data = Some(PathBuf::from(parser.value()?)),
                Arg::Long("ephemeral") => ephemeral = true,
                Arg::Short('p') | Arg::Long("port") => port = Some(parser.value()?.parse()?),
                Arg::Short('h') | Arg::Long("help") => return Ok(Wanted::Text(HELP.to_owned())),
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Wanted::Text(format!("vestibule {}\n", env!("CARGO_PKG_VERSION"))));
                }
                other => return Err(other.unexpected()),
            }
            first = false;
        }
        if ephemeral && data.is_some() {
            return Err("--data and --ephemeral exclude each other".into());
        }
        Ok(Wanted::Service(Self { data: data.unwrap_or_else(|| "data".into()), ephemeral, port }))
    }
}

fn parse_drill(parser: &mut Parser) -> Result<Wanted, lexopt::Error> {
    let arguments = drill::arguments::Arguments::parse(parser)?;
    Ok(arguments.map_or_else(|| Wanted::Text(drill::arguments::HELP.to_owned()), Wanted::Drill))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        match Arguments::parse(Parser::from_args(arguments)).map_err(|error| error.to_string())? {
            Wanted::Service(arguments) => Ok(arguments),
            Wanted::Text(text) => Err(text),
            Wanted::Drill(arguments) => Err(arguments.target.to_string()),
        }
    }

    #[test]
    fn nothing_said_means_the_folder_data() {
        assert_eq!(parse(&[]), Ok(Arguments { data: "data".into(), ephemeral: false, port: None }));
    }

    #[test]
    fn everything_can_be_said() {
        let said = Arguments { data: "/srv/v".into(), ephemeral: false, port: Some(8001) };
        assert_eq!(parse(&["--data=/srv/v", "--port", "8001"]), Ok(said));
        assert!(parse(&["--ephemeral"]).unwrap().ephemeral);
        assert_eq!(parse(&["--help"]).unwrap_err(), HELP);
    }

    #[test]
    fn the_drill_is_a_command_of_its_own() {
        assert_eq!(parse(&["drill", "http://localhost:8000"]).unwrap_err(), "http://localhost:8000");
        assert_eq!(parse(&["drill", "--help"]).unwrap_err(), drill::arguments::HELP);
        assert!(parse(&["--ephemeral", "drill", "http://localhost"]).unwrap_err().contains("drill"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for arguments in
            [&["--port"][..], &["--port", "70000"], &["--prot", "1"], &["run"], &["--data", "x", "--ephemeral"]]
        {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
