//! Metrics of a process, in the text format of Prometheus.

pub mod description;
pub mod histogram;
pub mod names;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use self::{
    description::{MetricDescription, MetricKind},
    names::Name,
};

/// The metrics of one service. It is passed to the code that counts and is not global, because several services can run
/// in one process, as they do in tests, each with its own metrics.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Families>>);

/// The families by name, because Prometheus requires all series of a name to be adjacent.
type Families = BTreeMap<&'static str, Vec<Arc<dyn WriteFamily>>>;

/// The series of one metric name, by label values. Label values are `&'static str`, so that data of a request, such as
/// an email address, an id or a path, cannot become a label.
pub struct Family<const N: usize, S = Number> {
    metric: MetricDescription,
    series: RwLock<HashMap<[&'static str; N], Arc<S>>>,
}

/// The value of a counter or a gauge.
#[derive(Default)]
pub struct Number(AtomicI64);

/// Increments a gauge by one until it is dropped.
pub struct GaugeGuard(Arc<Number>);

/// A value with one set of labels: a number or a histogram.
pub(crate) trait Series: Send + Sync + 'static {
    /// A new series, at zero.
    fn new(metric: &MetricDescription) -> Self;
    /// Appends the lines of the series.
    fn write(&self, text: &mut String, metric: &MetricDescription, labels: &[&'static str]);
}

/// A family of any number of labels and any type of series.
trait WriteFamily: Send + Sync {
    fn metric(&self) -> &MetricDescription;
    fn write(&self, text: &mut String);
}

impl Registry {
    /// Registers a family with this name. Several components can register the same name; their labels must differ.
    #[expect(private_bounds, reason = "only this module defines types of series")]
    pub fn family<const N: usize, S: Series>(&self, name: Name<N, S>) -> Arc<Family<N, S>> {
        let family = Arc::new(Family { metric: name.metric, series: RwLock::default() });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.metric.name).or_default().push(Arc::clone(&family) as Arc<dyn WriteFamily>);
        family
    }

    /// Registers a metric without labels and returns its only series.
    #[expect(private_bounds, reason = "as above")]
    pub fn one<S: Series>(&self, name: Name<0, S>) -> Arc<S> {
        self.family(name).of([])
    }

    /// All metrics in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, families) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let Some(MetricDescription { kind, help, .. }) = families.first().map(|family| family.metric()) else {
                continue;
            };
            let kind = match kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram(_) => "histogram",
            };
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            families.iter().for_each(|family| family.write(&mut text));
        }
        text
    }
}

#[expect(private_bounds, reason = "as above")]
impl<const N: usize, S: Series> Family<N, S> {
    /// The series with these label values; created at zero on first use.
    pub fn of(&self, labels: [&'static str; N]) -> Arc<S> {
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return Arc::clone(series);
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(labels).or_insert_with(|| Arc::new(S::new(&self.metric))))
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
        self.of(labels).add(1);
    }

    /// Sets the series with these label values.
    pub fn set(&self, labels: [&'static str; N], value: impl TryInto<i64>) {
        self.of(labels).set(value);
    }
}

impl Number {
    /// Adds to the value.
    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Sets the value; one that does not fit is stored as the maximum.
    pub fn set(&self, value: impl TryInto<i64>) {
        self.0.store(value.try_into().unwrap_or(i64::MAX), Relaxed);
    }

    /// The current value.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }

    /// Increments the gauge until the guard is dropped.
    pub fn hold(self: &Arc<Self>) -> GaugeGuard {
        self.add(1);
        GaugeGuard(Arc::clone(self))
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Series for Number {
    fn new(_: &MetricDescription) -> Self {
        Self::default()
    }

    fn write(&self, text: &mut String, metric: &MetricDescription, labels: &[&'static str]) {
        let _ = writeln!(text, "{} {}", series_name(metric, "", labels, None), self.get());
    }
}

impl<const N: usize, S: Series> WriteFamily for Family<N, S> {
    fn metric(&self) -> &MetricDescription {
        &self.metric
    }

    fn write(&self, text: &mut String) {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        for (labels, series) in all.iter().collect::<BTreeMap<_, _>>() {
            series.write(text, &self.metric, labels);
        }
    }
}

/// The name of a series with its labels: `name_bucket{path="/",le="1"}`. No label value needs escaping.
fn series_name(metric: &MetricDescription, suffix: &str, labels: &[&'static str], le: Option<&str>) -> String {
    let pairs = metric.labels.iter().zip(labels).map(|(name, value)| format!("{name}=\"{value}\""));
    let pairs: Vec<_> = pairs.chain(le.map(|le| format!("le=\"{le}\""))).collect();
    let pairs = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    format!("{}{suffix}{pairs}", metric.name)
}

#[cfg(test)]
mod tests;
