//! The API's process: `api`, `api migrate`, `api health`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use api::Config;
use shared::{ops, postgres, process};
use tokio::net::TcpListener;

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
                eprintln!("api: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let config = Config::load()?;
    match std::env::args().nth(1).as_deref() {
        None => serve(config).await,
        Some("migrate") => {
            process::start_logging(&config.log_format)?;
            postgres::migrate(&postgres::pool(&config.database_url, 1)?).await
        }
        Some("health") => ops::ask(config.ops_addr).await,
        Some(other) => bail!("unknown command '{other}': there are migrate, health, and none to serve"),
    }
}

async fn serve(config: Config) -> Result<()> {
    process::start_logging(&config.log_format)?;
    let stop = process::stop_on_signals()?;
    let listen = async |name: &str, addr| {
        TcpListener::bind(addr).await.with_context(|| format!("{name}: cannot listen on {addr}"))
    };
    let listener = listen("API_ADDR", config.api_addr).await?;
    let ops = listen("OPS_ADDR", config.ops_addr).await?;
    tracing::info!(api = %listener.local_addr()?, ops = %ops.local_addr()?, "listening");
    api::run(config, listener, ops, stop).await?;
    tracing::info!("stopped");
    Ok(())
}
