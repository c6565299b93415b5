//! How any of our processes logs.

use anyhow::{Context, Result, anyhow};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::telemetry::traces::Traces;

/// Logs to standard error, as text for people or as JSON for machines; spans go to whoever takes traces, if anybody does.
pub fn start(format: &str, traces: Option<&Traces>) -> Result<()> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty()).unwrap_or_else(|| "info".into());
    // A word that is no level would pass for the name of a part, and nothing would be logged.
    if wanted.split(',').any(|one| !one.contains('=') && one.parse::<LevelFilter>().is_err()) {
        return Err(anyhow!("RUST_LOG must be a level, or a list of part=level"));
    }
    let wanted = EnvFilter::try_new(wanted).context("RUST_LOG cannot be read")?;
    // Whatever is wanted, of libraries only warnings are heard: below they log what they carry, and that
    // may be a password or somebody's address.
    let fit_to_print = filter_fn(|event| {
        *event.level() <= tracing::Level::WARN
            || ["api", "worker", "shared", "vestibule"].contains(&event.target().split("::").next().unwrap_or_default())
    });
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        "text" => log.with_ansi(false).boxed(),
        "json" => log.json().flatten_event(true).boxed(),
        other => return Err(anyhow!("LOG_FORMAT is '{other}': it must be text or json")),
    };
    let log = log.with_filter(wanted.and(fit_to_print));
    let registry = tracing_subscriber::registry().with(log);
    match traces {
        // Not an empty layer: that would want every span there is.
        None => registry.init(),
        Some(traces) => {
            registry.with(traces.layer()).init();
            tracing::info!(collector = traces.collector, "traces are sent");
            if traces.is_overheard {
                tracing::warn!(
                    "OTEL_EXPORTER_OTLP_HEADERS is sent in the clear: OTEL_EXPORTER_OTLP_ENDPOINT is http://"
                );
            }
        }
    }
    Ok(())
}
