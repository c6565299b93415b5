//! The worker's process: `worker`, `worker health`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use shared::{ops, process};
use tokio::net::TcpListener;
use worker::Config;

fn main() -> ExitCode {
    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let ended = runtime.block_on(run());
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
            #[expect(clippy::print_stderr, reason = "the last words of a process")]
            {
                eprintln!("worker: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let config = Config::load()?;
    match std::env::args().nth(1).as_deref() {
        None => work(config).await,
        Some("health") => ops::ask(config.ops_addr).await,
        Some(other) => bail!("unknown command '{other}': there is health, and none to work"),
    }
}

async fn work(config: Config) -> Result<()> {
    process::start_logging(&config.log_format)?;
    let stop = process::stop_on_signals()?;
    let addr = config.ops_addr;
    let ops = TcpListener::bind(addr).await.with_context(|| format!("OPS_ADDR: cannot listen on {addr}"))?;
    tracing::info!(ops = %ops.local_addr()?, concurrency = config.concurrency, "working");
    worker::run(config, ops, stop).await?;
    tracing::info!("stopped");
    Ok(())
}
