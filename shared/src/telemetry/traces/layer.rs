//! A subscriber layer that records spans as they begin and end, and queues them for export.

use std::{
    fmt::Debug,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::mpsc;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::sampling::SamplingRatio;

/// A recorded span, as it is exported.
#[derive(Clone, Debug, Default)]
pub(super) struct SpanRecord {
    /// The trace id; 0 if it is not known yet.
    pub(super) trace: u128,
    /// The span id; 0 if it is not assigned yet.
    pub(super) id: u64,
    /// The id of the parent span; 0 for a root span.
    pub(super) parent: u64,
    /// A span kind of OTLP.
    pub(super) kind: u64,
    pub(super) name: String,
    /// Start and end in nanoseconds since the Unix epoch.
    pub(super) started_at: u64,
    pub(super) ended_at: u64,
    pub(super) attributes: Vec<(&'static str, AttributeValue)>,
    pub(super) failed: bool,
}

/// The value of a span attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AttributeValue {
    Text(String),
    Number(u64),
}

/// The subscriber layer. Spans that do not fit into the queue are dropped.
#[derive(Clone)]
pub(super) struct SpanLayer {
    queue: mpsc::Sender<SpanRecord>,
    sampling: SamplingRatio,
    /// Span ids only have to be unique, so they are keyed hashes of a counter.
    id_hasher: RandomState,
    id_counter: Arc<AtomicU64>,
}

impl SpanLayer {
    /// Creates a layer that sends the finished spans of sampled traces to `queue`.
    pub(super) fn new(queue: mpsc::Sender<SpanRecord>, sampling: SamplingRatio) -> Self {
        Self { queue, sampling, id_hasher: RandomState::new(), id_counter: Arc::default() }
    }

    /// A new span id.
    fn next_id(&self) -> u64 {
        self.id_hasher.hash_one(self.id_counter.fetch_add(1, Relaxed)).max(1)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut record = SpanRecord { name: attributes.metadata().name().to_owned(), ..SpanRecord::default() };
        attributes.record(&mut record);
        if record.trace == 0 {
            // The trace is that of the enclosing span. A span outside of any trace is not recorded.
            let Some(parent) = span.parent() else { return };
            let extensions = parent.extensions();
            let Some(parent) = extensions.get::<SpanRecord>() else { return };
            record.trace = parent.trace;
            record.parent = parent.id;
        }
        if self.sampling.includes(record.trace) {
            record.id = if record.id == 0 { self.next_id() } else { record.id };
            record.started_at = now();
            span.extensions_mut().insert(record);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(record) = span.extensions_mut().get_mut::<SpanRecord>() {
            values.record(record);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if let Some(record) = span.extensions_mut().remove::<SpanRecord>() {
            // If the queue is full, the span is dropped: the instrumented code must not wait.
            let _ = self.queue.try_send(SpanRecord { ended_at: now(), ..record });
        }
    }
}

/// Some fields describe the span itself; the others become attributes.
impl Visit for SpanRecord {
    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == "trace" {
            self.trace = value;
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "kind" => self.kind = value,
            "span" => self.id = value,
            name => self.attributes.push((name, AttributeValue::Number(value))),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "failed" {
            self.failed = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "name" => value.clone_into(&mut self.name),
            "parent" => (self.trace, self.parent) = parse_traceparent(value).unwrap_or_default(),
            name => self.attributes.push((name, AttributeValue::Text(value.to_owned()))),
        }
    }

    /// Values in `Debug` form are never exported: they are meant for logs.
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// The trace id and span id of a valid `traceparent` whose trace is sampled.
fn parse_traceparent(traceparent: &str) -> Option<(u128, u64)> {
    let mut parts = traceparent.split('-');
    let mut part =
        |length| parts.next().filter(|part| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit()));
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
    let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    (version == "00" && is_sampled && trace != 0 && span != 0).then_some((trace, span))
}

/// The time in nanoseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "spans need the wall clock; no decision depends on it")]
fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
