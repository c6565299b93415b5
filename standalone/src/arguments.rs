//! Command line of `vestibule`.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

/// What the command line asks for.
pub(crate) enum Command {
    /// Run the service.
    Serve(Arguments),
    /// Attack a running instance.
    Drill(drill::arguments::Arguments),
    /// Print a text, such as the help.
    Print(String),
}

/// Options of the service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) data: PathBuf,
    /// Use a temporary data folder that is deleted at the end.
    pub(crate) ephemeral: bool,
    /// Port of the API; overrides the one in `API_ADDR`.
    pub(crate) port: Option<u16>,
}

const HELP: &str = "\
Vestibule is a sign-up service: users register with an email address and a password, and activate their
account with a code that they receive by mail. This program runs API, queue, worker, database and a
development inbox in one process.

Usage: vestibule [--port N] [--data DIR | --ephemeral]        (cargo run -- [...])
       vestibule drill URL        attack a running instance to test its limits; see vestibule drill --help

  --port N      port of the API (default 8000, or the port in API_ADDR)
  --data DIR    folder for secrets, database and mails (default ./data)
  --ephemeral   store the data in a temporary folder and delete it at the end
  --help        print this help
  --version     print the version

Settings are environment variables; .env.example in the repository lists them all. Each of these replaces
an embedded part; any combination works:

  DATABASE_URL  a Postgres server instead of the embedded database
  AMQP_URL      RabbitMQ between outbox and worker instead of delivery within the process
  SMTP_URL      a mail server instead of the inbox
  CODE_SECRETS  your own secrets instead of the generated ones in the data folder, together with SUBJECT_KEY
  INBOX_ADDR    address and port of the inbox page (default 127.0.0.1:1080)
";

impl Arguments {
    /// Parses the command line. `drill` is a command only as the first argument.
    pub(crate) fn parse(mut parser: Parser) -> Result<Command, lexopt::Error> {
        let mut data = None;
        let mut ephemeral = false;
        let mut port = None;
        let mut is_first = true;
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(command) if is_first && command == "drill" => return parse_drill(&mut parser),
                Arg::Long("data") => data = Some(PathBuf::from(parser.value()?)),
                Arg::Long("ephemeral") => ephemeral = true,
                Arg::Short('p') | Arg::Long("port") => port = Some(parser.value()?.parse()?),
                Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(HELP.to_owned())),
                Arg::Short('V') | Arg::Long("version") => {
                    return Ok(Command::Print(format!("vestibule {}\n", env!("CARGO_PKG_VERSION"))));
                }
                other => return Err(other.unexpected()),
            }
            is_first = false;
        }
        if ephemeral && data.is_some() {
            return Err("--data and --ephemeral cannot be combined; remove one of them".into());
        }
        Ok(Command::Serve(Self { data: data.unwrap_or_else(|| "data".into()), ephemeral, port }))
    }
}

fn parse_drill(parser: &mut Parser) -> Result<Command, lexopt::Error> {
    let arguments = drill::arguments::Arguments::parse(parser)?;
    Ok(arguments.map_or_else(|| Command::Print(drill::arguments::HELP.to_owned()), Command::Drill))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        match Arguments::parse(Parser::from_args(arguments)).map_err(|error| error.to_string())? {
            Command::Serve(arguments) => Ok(arguments),
            Command::Print(text) => Err(text),
            Command::Drill(arguments) => Err(arguments.target.to_string()),
        }
    }

    #[test]
    fn defaults_without_arguments() {
        assert_eq!(parse(&[]), Ok(Arguments { data: "data".into(), ephemeral: false, port: None }));
    }

    #[test]
    fn all_options_are_parsed() {
        let expected = Arguments { data: "/srv/v".into(), ephemeral: false, port: Some(8001) };
        assert_eq!(parse(&["--data=/srv/v", "--port", "8001"]), Ok(expected));
        assert!(parse(&["--ephemeral"]).unwrap().ephemeral);
        assert_eq!(parse(&["--help"]).unwrap_err(), HELP);
    }

    #[test]
    fn drill_is_a_command_only_as_first_argument() {
        assert_eq!(parse(&["drill", "http://localhost:8000"]).unwrap_err(), "http://localhost:8000");
        assert_eq!(parse(&["drill", "--help"]).unwrap_err(), drill::arguments::HELP);
        assert!(parse(&["--ephemeral", "drill", "http://localhost"]).unwrap_err().contains("drill"));
    }

    #[test]
    fn invalid_arguments_are_rejected() {
        for arguments in
            [&["--port"][..], &["--port", "70000"], &["--prot", "1"], &["run"], &["--data", "x", "--ephemeral"]]
        {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
