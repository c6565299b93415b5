//! `vestibule`: API, relay and worker in one process, on embedded parts where none are given.

mod arguments;
mod banner;
mod data;
mod database;
mod delivery;
mod ports;
mod service;
mod settings;

use std::{io::Write, process::ExitCode};

use arguments::{Arguments, Wanted};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(lexopt::Parser::from_env()) {
        Ok(Wanted::Service(arguments)) => arguments,
        Ok(Wanted::Text(text)) => {
            // Nobody reads it: then there is nobody to tell, either.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Wanted::Drill(arguments)) => return drill(arguments),
        Err(error) => return failed(&format!("{error}; --help says what there is"), 2),
    };
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let ended = runtime.block_on(service::run(arguments));
            // A name server that does not answer must not hold up the end: look-ups cannot be cancelled.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}"), 1),
    }
}

/// Ends with 1 when a promise was broken, and with 2 when that could not be found out.
fn drill(arguments: drill::arguments::Arguments) -> ExitCode {
    let ended = tokio::runtime::Runtime::new().map_err(Into::into);
    match ended.and_then(|runtime| runtime.block_on(drill::run(arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => failed(&format!("{error:#}"), 2),
    }
}

fn failed(why: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "vestibule: {why}");
    ExitCode::from(code)
}
