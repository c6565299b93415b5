//! Entry point of the `worker` binary: runs the worker, or one of the operator's commands (`worker help` lists them).

use std::{io::Write, process::ExitCode};

use anyhow::{Context, Result};
use shared::shutdown;
use shared::telemetry::{log, ops_server, traces::Traces};
use tokio::net::TcpListener;
use worker::{Command, Config};

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let Some(command) = Command::parse(args) else {
        print_to_stderr(worker::USAGE);
        return ExitCode::from(2);
    };
    let result = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(run_command(command));
            // DNS look-ups cannot be cancelled: a name server that does not answer must not delay the exit.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may not have been started yet; then this is the only output.
            print_to_stderr(&format!("worker: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn run_command(command: Command) -> Result<()> {
    match command {
        Command::Help => print_to_stdout(worker::USAGE),
        Command::Work => run_worker(Config::load()?).await,
        Command::Health => ops_server::check_readiness(Config::load()?.ops_addr).await,
        Command::Tool(tool) => print_to_stdout(&worker::answer(Config::load()?, tool).await?),
    }
}

async fn run_worker(config: Config) -> Result<()> {
    let stop = shutdown::stop_on_signals()?;
    let traces = Traces::start("vestibule-worker")?;
    log::start(&config.log_format, traces.as_ref())?;
    let addr = config.ops_addr;
    let ops = TcpListener::bind(addr).await.with_context(|| format!("OPS_ADDR: cannot listen on {addr}"))?;
    tracing::info!(ops = %ops.local_addr()?, concurrency = config.concurrency, "worker started");
    let result = worker::run(config, ops, stop).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    result?;
    tracing::info!("worker stopped");
    Ok(())
}

/// Prints to standard output. A reader that closes the pipe early (`| head`) is not an error.
fn print_to_stdout(output: &str) -> Result<()> {
    match std::io::stdout().write_all(output.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write the output"),
        _ => Ok(()),
    }
}

#[expect(clippy::print_stderr, reason = "usage and errors of a process whose log may not have been started")]
fn print_to_stderr(text: &str) {
    eprint!("{text}");
}
