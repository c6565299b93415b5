//! Histograms of durations.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    Series,
    description::{MetricDescription, MetricKind},
    series_name,
};

/// Counts durations in buckets.
pub struct Histogram {
    bounds: &'static [f64],
    /// One bucket for each bound and one for longer durations. Not cumulative.
    buckets: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Records a duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.buckets[self.bounds.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(0), Relaxed);
    }
}

impl Series for Histogram {
    fn new(metric: &MetricDescription) -> Self {
        let bounds = if let MetricKind::Histogram(bounds) = metric.kind { bounds } else { &[] };
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self { bounds, buckets, sum_micros: AtomicU64::default() }
    }

    fn write(&self, text: &mut String, metric: &MetricDescription, labels: &[&'static str]) {
        let mut count = 0;
        let bounds = self.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, bucket) in bounds.zip(&self.buckets) {
            count += bucket.load(Relaxed);
            let _ = writeln!(text, "{} {count}", series_name(metric, "_bucket", labels, Some(&bound)));
        }
        let seconds = Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{} {seconds}", series_name(metric, "_sum", labels, None));
        let _ = writeln!(text, "{} {count}", series_name(metric, "_count", labels, None));
    }
}
