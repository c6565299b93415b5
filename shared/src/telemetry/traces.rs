//! Traces for who wants them: the spans of `spans.rs`, sent to a collector by OTLP; nothing at all where none is named.

mod collector;
mod export;
mod layer;
mod settings;
pub mod spans;
mod wire;

use std::time::Duration;

use crate::shutdown::DRAIN;
use anyhow::Result;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    registry::LookupSpan,
};

use self::{layer::Spans, settings::Settings};

/// Spans that may wait to be sent. What comes while they are all taken is lost, and nobody waits.
const MOST_WAITING: usize = 4_096;

/// What is left at the end has this long to be sent, and no longer than the process has to stop.
const LONGEST_FLUSH: Duration = Duration::from_secs(2);

/// Where the spans of a process go.
pub struct Traces {
    spans: Spans,
    pub(crate) collector: String,
    pub(crate) is_overheard: bool,
    end: CancellationToken,
    sending: JoinHandle<()>,
    stopped_by: JoinHandle<Instant>,
}

impl Traces {
    /// `None` unless the environment names a collector. `service` is what the process is called if that says nothing else.
    pub fn start(service: &str, stop: CancellationToken) -> Result<Option<Self>> {
        let Some(settings) = Settings::load()?.check(service)? else { return Ok(None) };
        let Settings { collector, resource, share } = settings;
        let ((sender, queue), end) = (mpsc::channel(MOST_WAITING), CancellationToken::new());
        Ok(Some(Self {
            spans: Spans::new(sender, share),
            collector: collector.name(),
            is_overheard: collector.is_overheard(),
            sending: tokio::spawn(export::run(queue, collector, resource, end.clone())),
            end,
            stopped_by: tokio::spawn(async move {
                stop.cancelled().await;
                Instant::now() + DRAIN
            }),
        }))
    }

    /// Sees nothing but our own spans, and no event: what a library would say never leaves the process this way.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let ours = filter_fn(|of| of.is_span() && of.target() == spans::TARGET);
        self.spans.clone().with_filter(ours.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Sends what is left, if that is quick.
    pub async fn end(self) {
        self.end.cancel();
        let soon = Instant::now() + LONGEST_FLUSH;
        let last = if self.stopped_by.is_finished() { self.stopped_by.await.unwrap_or(soon) } else { soon };
        // A collector that does not answer has had its time: its spans are lost.
        let _ = tokio::time::timeout_at(soon.min(last), self.sending).await;
    }
}
