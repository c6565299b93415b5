//! Distributed tracing: exports the spans of `spans.rs` to an OTLP collector. Without a configured collector, nothing
//! is recorded.

mod collector;
mod export;
mod layer;
mod otlp;
pub mod sampling;
mod settings;
pub mod spans;

use std::time::Duration;

use anyhow::Result;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    registry::LookupSpan,
};

pub(crate) use self::settings::RawSettings;
use self::{layer::SpanLayer, settings::TraceSettings};

/// The capacity of the export queue. Spans that end while it is full are dropped, so that tracing never blocks.
const QUEUE_CAPACITY: usize = 4_096;

/// The timeout of the last export, after all tasks of the process have ended.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The trace export of a process.
pub struct Traces {
    layer: SpanLayer,
    /// The host and port of the collector, for the log.
    pub(crate) collector: String,
    /// Whether the configured headers, which usually contain credentials, are sent unencrypted to another machine.
    pub(crate) sends_headers_in_clear_text: bool,
    /// Ends the export.
    end: CancellationToken,
    exporter: JoinHandle<()>,
}

impl Traces {
    /// Starts the export, or returns `None` if no collector is configured. `service` is the default service name.
    pub fn start(service: &str) -> Result<Option<Self>> {
        let Some(settings) = RawSettings::load()?.check(service)? else { return Ok(None) };
        let TraceSettings { collector, resource, sampling } = settings;
        let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
        let end = CancellationToken::new();
        Ok(Some(Self {
            layer: SpanLayer::new(sender, sampling),
            collector: collector.name(),
            sends_headers_in_clear_text: collector.sends_headers_in_clear_text(),
            exporter: tokio::spawn(export::run(queue, collector, resource, end.clone())),
            end,
        }))
    }

    /// The subscriber layer. It sees only the spans of `spans.rs` and no events, so that the data of libraries never
    /// leaves the process in a trace.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let exported = filter_fn(|metadata| metadata.is_span() && metadata.target() == spans::TARGET);
        self.layer.clone().with_filter(exported.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Exports the remaining spans and ends. Waits at most two seconds.
    pub async fn end(self) {
        self.end.cancel();
        // If the collector does not respond in time, the remaining spans are lost.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.exporter).await;
    }
}
