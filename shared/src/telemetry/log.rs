//! Sets up the log of a process.

use anyhow::{Context, Result, anyhow};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::telemetry::traces::Traces;

/// The crates of this project that log; `scripts/layers` compares the list with the sources.
const OWN_CRATES: [&str; 5] = ["api", "mailbox", "shared", "vestibule", "worker"];

/// The target of authentication events. It is not the name of a module, so that operators can select these events and
/// a moved file does not change them.
pub const AUTH_EVENTS: &str = "auth";

/// Starts logging to standard error, as text or as JSON, and exporting spans if `traces` is set.
pub fn start(format: &str, traces: Option<&Traces>) -> Result<()> {
    let rust_log = std::env::var("RUST_LOG").ok().filter(|value| !value.is_empty()).unwrap_or_else(|| "info".into());
    // `EnvFilter` takes a word that is not a level for the name of a target, and nothing would be logged.
    if rust_log.split(',').any(|directive| !directive.contains('=') && directive.parse::<LevelFilter>().is_err()) {
        return Err(anyhow!("RUST_LOG must be a level such as info, or a list of target=level"));
    }
    let env_filter = EnvFilter::try_new(rust_log).context("RUST_LOG is not a valid filter")?;
    // Libraries log only warnings and errors, whatever RUST_LOG says: at lower levels they log the data they process,
    // which may contain a password or an email address.
    let no_library_details = filter_fn(|event| {
        *event.level() <= tracing::Level::WARN
            || event.target() == AUTH_EVENTS
            || OWN_CRATES.contains(&event.target().split("::").next().unwrap_or_default())
    });
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        "text" => log.with_ansi(false).boxed(),
        "json" => log.json().flatten_event(true).boxed(),
        other => return Err(anyhow!("LOG_FORMAT must be text or json, and is '{other}'")),
    };
    let log = log.with_filter(env_filter.and(no_library_details));
    let registry = tracing_subscriber::registry().with(log);
    match traces {
        // No layer instead of an empty one, which would enable every span.
        None => registry.init(),
        Some(traces) => {
            registry.with(traces.layer()).init();
            tracing::info!(collector = traces.collector, "exporting traces");
            if traces.sends_headers_in_clear_text {
                tracing::warn!(
                    "OTEL_EXPORTER_OTLP_HEADERS are sent in clear text; use an https:// OTEL_EXPORTER_OTLP_ENDPOINT"
                );
            }
        }
    }
    Ok(())
}
