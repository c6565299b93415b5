//! The API's process, and the tools that are run beside it: `api help` lists them.

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result};
use api::{Command, Config};
use shared::telemetry::{log, ops_server, traces::Traces};
use shared::{postgres, shutdown};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let Some(command) = Command::parse(words) else {
        say(api::USAGE);
        return ExitCode::from(2);
    };
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let ended = runtime.block_on(run(command));
            // A name server that does not answer must not hold up the end: look-ups cannot be cancelled.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may not have started yet, and then this is all there is to see.
            say(&format!("api: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Help => print(api::USAGE),
        Command::Serve => serve(Config::load()?).await,
        Command::Migrate => {
            let config = Config::load()?;
            log::start(&config.log_format, None)?;
            postgres::migrate(&postgres::pool(&config.database_url, 1)?).await
        }
        Command::Health => ops_server::ask(Config::load()?.ops_addr).await,
        Command::Tool(tool) => print(&api::answer(Config::load()?, tool).await?),
    }
}

async fn serve(config: Config) -> Result<()> {
    let stop = shutdown::stop_on_signals()?;
    let traces = Traces::start("vestibule-api", stop.clone())?;
    log::start(&config.log_format, traces.as_ref())?;
    let listen = async |name: &str, addr| {
        TcpListener::bind(addr).await.with_context(|| format!("{name}: cannot listen on {addr}"))
    };
    let listener = listen("API_ADDR", config.api_addr).await?;
    let ops = listen("OPS_ADDR", config.ops_addr).await?;
    tracing::info!(api = %listener.local_addr()?, ops = %ops.local_addr()?, "listening");
    let ended = api::run(config, listener, ops, stop).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    ended?;
    tracing::info!("stopped");
    Ok(())
}

/// An answer; who hangs up before its end (`| head`) has seen enough.
fn print(answer: &str) -> Result<()> {
    match std::io::stdout().write_all(answer.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write the answer"),
        _ => Ok(()),
    }
}

#[expect(clippy::print_stderr, reason = "what is no answer, of a process that may have no log")]
fn say(words: &str) {
    eprint!("{words}");
}
