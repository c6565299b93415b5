//! What a process counts, and how it is written down for Prometheus.

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

use self::names::{Described, MetricKind, Name};

/// Everything that one service counts. It is handed to whoever counts, and no global: several services may run in one
/// process, as they do in tests, and each has its own numbers.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Families>>);

/// By name, so that those of one name stand together.
type Families = BTreeMap<&'static str, Vec<Arc<dyn Written>>>;

/// The series of one name. The values of labels live as long as the program: what comes with a request, be it an
/// address, an id or a path, cannot become one.
pub struct Family<const N: usize, S = Number> {
    described: Described,
    series: RwLock<HashMap<[&'static str; N], Arc<S>>>,
}

/// A counter, or a gauge.
#[derive(Default)]
pub struct Number(AtomicI64);

/// Counts as one until it is dropped.
pub struct GaugeGuard(Arc<Number>);

pub(crate) trait Series: Send + Sync + 'static {
    fn begin(described: &Described) -> Self;
    fn write(&self, text: &mut String, described: &Described, labels: &[&'static str]);
}

trait Written: Send + Sync {
    fn described(&self) -> &Described;
    fn write(&self, text: &mut String);
}

impl Registry {
    /// A family of this name, which several parts may have: their labels tell them apart.
    #[expect(private_bounds, reason = "what series there are is decided here")]
    pub fn family<const N: usize, S: Series>(&self, name: Name<N, S>) -> Arc<Family<N, S>> {
        let family = Arc::new(Family { described: name.described, series: RwLock::default() });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.described.name).or_default().push(Arc::clone(&family) as Arc<dyn Written>);
        family
    }

    /// The only series of a name without labels.
    #[expect(private_bounds, reason = "as above")]
    pub fn one<S: Series>(&self, name: Name<0, S>) -> Arc<S> {
        self.family(name).of([])
    }

    /// All of it, in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, families) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let Some(Described { kind, help, .. }) = families.first().map(|family| family.described()) else {
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
    pub fn of(&self, labels: [&'static str; N]) -> Arc<S> {
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return Arc::clone(series);
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(labels).or_insert_with(|| Arc::new(S::begin(&self.described))))
    }

    /// Shows these from the beginning: the first of a kind is seen as an increase only where a 0 was before it.
    pub fn with(self: Arc<Self>, labels: impl IntoIterator<Item = [&'static str; N]>) -> Arc<Self> {
        labels.into_iter().for_each(|labels| drop(self.of(labels)));
        self
    }

    /// Nobody knows just now: rather no number than one that is not true.
    pub fn forget(&self) {
        self.series.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<const N: usize> Family<N> {
    pub fn count(&self, labels: [&'static str; N]) {
        self.of(labels).add(1);
    }

    pub fn set(&self, labels: [&'static str; N], value: impl TryInto<i64>) {
        self.of(labels).set(value);
    }
}

impl Number {
    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub fn set(&self, value: impl TryInto<i64>) {
        self.0.store(value.try_into().unwrap_or(i64::MAX), Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }

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
    fn begin(_: &Described) -> Self {
        Self::default()
    }

    fn write(&self, text: &mut String, described: &Described, labels: &[&'static str]) {
        let _ = writeln!(text, "{} {}", head(described, "", labels, None), self.get());
    }
}

impl<const N: usize, S: Series> Written for Family<N, S> {
    fn described(&self) -> &Described {
        &self.described
    }

    fn write(&self, text: &mut String) {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        for (labels, series) in all.iter().collect::<BTreeMap<_, _>>() {
            series.write(text, &self.described, labels);
        }
    }
}

/// Like `name_bucket{path="/",le="1"}`. No value of ours needs escaping.
fn head(described: &Described, suffix: &str, labels: &[&'static str], le: Option<&str>) -> String {
    let pairs = described.labels.iter().zip(labels).map(|(name, value)| format!("{name}=\"{value}\""));
    let pairs: Vec<_> = pairs.chain(le.map(|le| format!("le=\"{le}\""))).collect();
    let pairs = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    format!("{}{suffix}{pairs}", described.name)
}

#[cfg(test)]
mod tests;
