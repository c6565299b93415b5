//! How often something took how long.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    Series, head,
    names::{Described, MetricKind},
};

pub struct Histogram {
    bounds: &'static [f64],
    /// One more than there are bounds; each for itself.
    buckets: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.buckets[self.bounds.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Relaxed);
    }
}

impl Series for Histogram {
    fn begin(described: &Described) -> Self {
        let bounds = if let MetricKind::Histogram(bounds) = described.kind { bounds } else { &[] };
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self { bounds, buckets, sum_micros: AtomicU64::default() }
    }

    fn write(&self, text: &mut String, described: &Described, labels: &[&'static str]) {
        let mut count = 0;
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, bucket) in bounds.zip(&self.buckets) {
            count += bucket.load(Relaxed);
            let _ = writeln!(text, "{} {count}", head(described, "_bucket", labels, Some(&bound)));
        }
        let seconds = Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{} {seconds}", head(described, "_sum", labels, None));
        let _ = writeln!(text, "{} {count}", head(described, "_count", labels, None));
    }
}
