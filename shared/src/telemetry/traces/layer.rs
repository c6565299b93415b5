//! Turns our spans into records of a trace as they begin and end.

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

use super::settings::Share;

/// One span of a trace.
#[derive(Clone, Debug, Default)]
pub(super) struct Traced {
    pub(super) trace: u128,
    pub(super) id: u64,
    /// 0 for none.
    pub(super) parent: u64,
    pub(super) kind: u64,
    pub(super) name: String,
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) failed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
}

#[derive(Clone)]
pub(super) struct Spans {
    queue: mpsc::Sender<Traced>,
    share: Share,
    /// Ids only have to differ: a secret of this process makes them of a number that is counted up.
    secret: RandomState,
    made: Arc<AtomicU64>,
}

impl Spans {
    pub(super) fn new(queue: mpsc::Sender<Traced>, share: Share) -> Self {
        Self { queue, share, secret: RandomState::new(), made: Arc::default() }
    }

    fn id(&self) -> u64 {
        self.secret.hash_one(self.made.fetch_add(1, Relaxed)).max(1)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut traced = Traced { name: attributes.metadata().name().to_owned(), ..Traced::default() };
        attributes.record(&mut traced);
        if traced.trace == 0 {
            // Of a span of ours around it. What belongs to no trace begins none.
            let Some(around) = span.parent() else { return };
            let extensions = around.extensions();
            let Some(around) = extensions.get::<Traced>() else { return };
            (traced.trace, traced.parent) = (around.trace, around.id);
        }
        if self.share.has(traced.trace) {
            traced.id = if traced.id == 0 { self.id() } else { traced.id };
            traced.begun = now();
            span.extensions_mut().insert(traced);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(traced) = span.extensions_mut().get_mut::<Traced>() {
            values.record(traced);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if let Some(traced) = span.extensions_mut().remove::<Traced>() {
            // Where there is no room, nobody waits for it.
            let _ = self.queue.try_send(Traced { ended: now(), ..traced });
        }
    }
}

/// Some fields say what a span is, the others are told of it.
impl Visit for Traced {
    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == "trace" {
            self.trace = value;
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "kind" => self.kind = value,
            "span" => self.id = value,
            name => self.attributes.push((name, Value::Number(value))),
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
            "parent" => (self.trace, self.parent) = parse(value).unwrap_or_default(),
            name => self.attributes.push((name, Value::Text(value.to_owned()))),
        }
    }

    /// Nothing is told in the form that is meant for ourselves.
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// Trace and span of a `traceparent`, if it is one, and its trace is recorded.
fn parse(traceparent: &str) -> Option<(u128, u64)> {
    let mut parts = traceparent.split('-');
    let mut part =
        |length| parts.next().filter(|part| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit()));
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
    let recorded = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    (version == "00" && recorded && trace != 0 && span != 0).then_some((trace, span))
}

#[expect(clippy::disallowed_methods, reason = "when something was is what a trace is about; nothing is judged by it")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
