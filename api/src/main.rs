//! The `api` binary: the server and the operator tools. `api help` lists them.

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result};
use api::{Command, Config, MigrationConfig};
use shared::telemetry::{log, ops_server, traces::Traces};
use shared::{postgres, shutdown};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let Some(command) = Command::parse(arguments) else {
        print_error(api::USAGE);
        return ExitCode::from(2);
    };
    let result = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(run(command));
            // Does not wait for DNS look-ups, which cannot be cancelled: an unresponsive name server must not delay
            // the exit.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not have started yet, and then this is the only output.
            print_error(&format!("api: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Help => print(api::USAGE),
        Command::Serve => serve(Config::load()?).await,
        Command::Migrate => {
            let config = MigrationConfig::load()?;
            log::start(&config.log_format, None)?;
            postgres::migrate_as_owner(&config.migrate_database_url, &config.database_url).await
        }
        Command::Health => ops_server::check_readiness(Config::load()?.ops_addr).await,
        Command::Tool(tool) => print(&api::answer(Config::load()?, tool).await?),
    }
}

async fn serve(config: Config) -> Result<()> {
    let stop = shutdown::stop_on_signals()?;
    let traces = Traces::start("vestibule-api")?;
    log::start(&config.log_format, traces.as_ref())?;
    let listen = async |name: &str, addr| {
        TcpListener::bind(addr).await.with_context(|| format!("{name}: cannot listen on {addr}"))
    };
    let listener = listen("API_ADDR", config.api_addr).await?;
    let ops = listen("OPS_ADDR", config.ops_addr).await?;
    tracing::info!(api = %listener.local_addr()?, ops = %ops.local_addr()?, "listening");
    let result = api::run(config, listener, ops, stop).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    result?;
    tracing::info!("stopped");
    Ok(())
}

/// Prints the output of a command. A reader that closes the pipe early (`| head`) is no error.
fn print(output: &str) -> Result<()> {
    match std::io::stdout().write_all(output.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

#[expect(clippy::print_stderr, reason = "the process may not log yet")]
fn print_error(text: &str) {
    eprint!("{text}");
}
