//! Medians, percentiles, and rates that ignore a slow start and a slow end.

/// The median; NaN if there are no values, so that it is not mistaken for a result.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The smallest value that `percent` per cent of all values do not exceed; NaN if there are no values.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The smallest and the largest value.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::NAN, f64::NAN), |(least, most), &value| (value.min(least), value.max(most)))
}

/// Events per second between the times when 5 and 95 per cent of them had happened.
pub(crate) fn middle_rate(times: &[f64]) -> f64 {
    let counted: Vec<_> = sorted(times).into_iter().zip(1..).map(|(time, count)| (time, f64::from(count))).collect();
    middle_rate_of_counts(&counted, times.len() as f64)
}

/// The same for samples of a counter: seconds, and the count at that time.
pub(crate) fn middle_rate_of_counts(samples: &[(f64, f64)], total: f64) -> f64 {
    let reached = |share: f64| samples.iter().find(|(_, count)| *count >= share * total);
    match (reached(0.05), reached(0.95)) {
        (Some(first), Some(last)) if last.0 > first.0 => (last.1 - first.1) / (last.0 - first.0),
        _ => f64::NAN,
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_value() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn percentile_is_one_of_the_values() {
        let hundred: Vec<_> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (percentile(&hundred, 99.0), percentile(&hundred, 50.0), percentile(&hundred, 100.0)),
            (99.0, 50.0, 100.0)
        );
        assert_eq!((percentile(&[7.0], 99.0), percentile(&[7.0], 0.0)), (7.0, 7.0));
        assert!(percentile(&[], 99.0).is_nan());
    }

    #[test]
    fn range_is_minimum_and_maximum() {
        assert_eq!(range(&[2.0, 1.0, 3.0]), (1.0, 3.0));
    }

    /// 100 events per second, with a pause after the first and before the last.
    #[test]
    fn middle_rate_ignores_start_and_end() {
        let mut times: Vec<_> = (0..1000).map(|n| 5.0 + f64::from(n) * 0.01).collect();
        times[0] = 0.0;
        times[999] = 60.0;
        assert!((middle_rate(&times) - 100.0).abs() < 0.01, "{}", middle_rate(&times));
        let polled: Vec<_> = (0..200).map(|n| (f64::from(n) * 0.05, f64::from(n) * 5.0)).collect();
        assert!((middle_rate_of_counts(&polled, 995.0) - 100.0).abs() < 0.01);
        assert!(middle_rate(&[1.0]).is_nan());
    }
}
