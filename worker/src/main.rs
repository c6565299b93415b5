//! The worker's process, and the tools that are run beside it: `worker help` lists them.

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result};
use shared::shutdown;
use shared::telemetry::{log, ops_server, traces::Traces};
use tokio::net::TcpListener;
use worker::{Command, Config};

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let Some(command) = Command::parse(words) else {
        say(worker::USAGE);
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
            say(&format!("worker: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Help => print(worker::USAGE),
        Command::Work => work(Config::load()?).await,
        Command::Health => ops_server::ask(Config::load()?.ops_addr).await,
        Command::Tool(tool) => print(&worker::answer(Config::load()?, tool).await?),
    }
}

async fn work(config: Config) -> Result<()> {
    let stop = shutdown::stop_on_signals()?;
    let traces = Traces::start("vestibule-worker", stop.clone())?;
    log::start(&config.log_format, traces.as_ref())?;
    let addr = config.ops_addr;
    let ops = TcpListener::bind(addr).await.with_context(|| format!("OPS_ADDR: cannot listen on {addr}"))?;
    tracing::info!(ops = %ops.local_addr()?, concurrency = config.concurrency, "working");
    let ended = worker::run(config, ops, stop).await;
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
