//! Metrics of a process, in the text format of Prometheus.

pub mod description;
pub mod names;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// Their clones share the value. A histogram counts durations, in seconds.
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, prometheus_text},
    metrics::TypedMetric,
    registry::{self, Metric},
};

use self::{
    description::{MetricDescription, MetricKind},
    names::Name,
};

/// The metrics of one service. It is passed to the code that counts and is not global, because several services can run
/// in one process, as they do in tests, each with its own metrics.
///
/// The registry of `prometheus-client` would write one header per registration, not per name.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<Families>>);

/// The families by name, because Prometheus requires all series of a name to be adjacent.
type Families = BTreeMap<&'static str, Vec<Arc<dyn EncodeFamily>>>;

/// The series of one metric name, by label values. Label values are `&'static str`, so that data of a request, such as
/// an email address, an id or a path, cannot become a label.
///
/// The family of `prometheus-client` does not sort its series.
#[derive(Debug)]
pub struct Family<const N: usize, S = Counter> {
    metric: MetricDescription,
    series: RwLock<BTreeMap<[&'static str; N], S>>,
}

/// Increments a gauge by one until it is dropped.
pub struct GaugeGuard(Gauge);

/// A counter, gauge or histogram with one set of labels.
pub(crate) trait Series: Metric + TypedMetric + Clone {
    /// A new series, at zero.
    fn new(kind: MetricKind) -> Self;
}

/// A family of any number of labels and any type of series.
trait EncodeFamily: fmt::Debug + Send + Sync {
    fn encode_header<'a>(&'a self, encoder: &'a mut DescriptorEncoder) -> Result<MetricEncoder<'a>, fmt::Error>;
    fn encode_series(&self, encoder: &mut MetricEncoder) -> fmt::Result;
}

impl Registry {
    /// Registers a family with this name. Several components can register the same name; their labels must differ.
    #[expect(private_bounds, reason = "only this module defines types of series")]
    pub fn family<const N: usize, S: Series>(&self, name: Name<N, S>) -> Arc<Family<N, S>> {
        let family = Arc::new(Family { metric: name.metric, series: RwLock::default() });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.metric.name).or_default().push(Arc::clone(&family) as Arc<dyn EncodeFamily>);
        family
    }

    /// Registers a metric without labels and returns its only series.
    #[expect(private_bounds, reason = "as above")]
    pub fn one<S: Series>(&self, name: Name<0, S>) -> S {
        self.family(name).of([])
    }

    /// All metrics in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut registry = registry::Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_text::encode(&mut text, &registry);
        text
    }
}

impl Collector for Registry {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for families in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let Some(first) = families.first() else { continue };
            let mut encoder = first.encode_header(&mut encoder)?;
            families.iter().try_for_each(|family| family.encode_series(&mut encoder))?;
        }
        Ok(())
    }
}

#[expect(private_bounds, reason = "as above")]
impl<const N: usize, S: Series> Family<N, S> {
    /// The series with these label values; created at zero on first use.
    pub fn of(&self, labels: [&'static str; N]) -> S {
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return series.clone();
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(labels).or_insert_with(|| S::new(self.metric.kind)).clone()
    }

    /// Creates these series at zero. Prometheus sees the first increment of a counter only if the counter was exported
    /// as 0 before.
    pub fn with(self: Arc<Self>, labels: impl IntoIterator<Item = [&'static str; N]>) -> Arc<Self> {
        labels.into_iter().for_each(|labels| drop(self.of(labels)));
        self
    }

    /// Removes all series, for gauges whose value is currently unknown: no value is better than an outdated one.
    pub fn forget(&self) {
        self.series.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<const N: usize> Family<N> {
    /// Increments the series with these label values.
    pub fn count(&self, labels: [&'static str; N]) {
        self.of(labels).inc();
    }
}

impl<const N: usize> Family<N, Gauge> {
    /// Sets the series with these label values.
    pub fn set(&self, labels: [&'static str; N], value: impl TryInto<i64>) {
        self.of(labels).set(gauge_value(value));
    }
}

/// The value for a gauge; one that does not fit becomes the maximum.
pub fn gauge_value(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

impl GaugeGuard {
    /// Increments the gauge until the guard is dropped.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Series for Counter {
    fn new(_: MetricKind) -> Self {
        Self::default()
    }
}

impl Series for Gauge {
    fn new(_: MetricKind) -> Self {
        Self::default()
    }
}

impl Series for Histogram {
    fn new(kind: MetricKind) -> Self {
        let bounds = if let MetricKind::Histogram(bounds) = kind { bounds } else { &[] };
        Self::new(bounds.iter().copied())
    }
}

impl<const N: usize, S: Series> EncodeFamily for Family<N, S> {
    fn encode_header<'a>(&'a self, encoder: &'a mut DescriptorEncoder) -> Result<MetricEncoder<'a>, fmt::Error> {
        let MetricDescription { name, help, .. } = self.metric;
        // The encoder appends the suffix of counters itself.
        encoder.encode_descriptor(name.strip_suffix("_total").unwrap_or(name), help, None, S::TYPE)
    }

    fn encode_series(&self, encoder: &mut MetricEncoder) -> fmt::Result {
        for (values, series) in self.series.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels: Vec<_> = self.metric.labels.iter().copied().zip(values.iter().copied()).collect();
            series.encode(encoder.encode_family(&labels.as_slice())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
