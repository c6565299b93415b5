//! `vestibule`: API, relay and worker in one process, with an embedded part for each external service that is not
//! configured.

mod arguments;
mod banner;
mod data_folder;
mod database;
mod delivery;
mod listeners;
mod service;
mod settings;

use std::{io::Write, process::ExitCode};

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(lexopt::Parser::from_env()) {
        Ok(Command::Serve(arguments)) => arguments,
        Ok(Command::Print(text)) => {
            // If standard output is closed, there is nowhere to report the error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Drill(arguments)) => return run_drill(arguments),
        Err(error) => return fail(&format!("{error}; see --help"), 2),
    };
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let ended = runtime.block_on(service::run(arguments));
            // DNS look-ups block a thread and cannot be cancelled; an unresponsive name server must not delay the exit.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}"), 1),
    }
}

/// Exits with 0 if the instance kept its policy, 1 if it violated it, and 2 if that could not be determined.
fn run_drill(arguments: drill::arguments::Arguments) -> ExitCode {
    let ended = tokio::runtime::Runtime::new().map_err(Into::into);
    match ended.and_then(|runtime| runtime.block_on(drill::run(arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => fail(&format!("{error:#}"), 2),
    }
}

/// Prints an error and returns the exit code.
fn fail(error: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "vestibule: {error}");
    ExitCode::from(code)
}
