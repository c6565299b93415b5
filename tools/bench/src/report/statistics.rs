//! Medians, percentiles, and the rate of something that has a slow beginning and a slow end.

/// Of no values: not a number, so that nobody takes it for one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The smallest value that so many per cent of all do not exceed.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::NAN, f64::NAN), |(least, most), &value| (value.min(least), value.max(most)))
}

/// Per second, between the moments when 5 and 95 per cent of all had happened.
pub(crate) fn middle_rate(times: &[f64]) -> f64 {
    let counted: Vec<_> = sorted(times).into_iter().zip(1..).map(|(time, count)| (time, f64::from(count))).collect();
    middle_rate_of_counts(&counted, times.len() as f64)
}

/// The same of a counter that was looked at now and then: seconds, and how many there were by then.
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
    fn a_median_is_in_the_middle() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let hundred: Vec<_> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (percentile(&hundred, 99.0), percentile(&hundred, 50.0), percentile(&hundred, 100.0)),
            (99.0, 50.0, 100.0)
        );
        assert_eq!((percentile(&[7.0], 99.0), percentile(&[7.0], 0.0)), (7.0, 7.0));
        assert!(percentile(&[], 99.0).is_nan());
    }

    #[test]
    fn a_range_has_two_ends() {
        assert_eq!(range(&[2.0, 1.0, 3.0]), (1.0, 3.0));
    }

    /// 100 in a second each, with a wait before the first and a straggler at the end.
    #[test]
    fn the_beginning_and_the_end_do_not_count() {
        let mut times: Vec<_> = (0..1000).map(|n| 5.0 + f64::from(n) * 0.01).collect();
        times[0] = 0.0;
        times[999] = 60.0;
        assert!((middle_rate(&times) - 100.0).abs() < 0.01, "{}", middle_rate(&times));
        let looked_at: Vec<_> = (0..200).map(|n| (f64::from(n) * 0.05, f64::from(n) * 5.0)).collect();
        assert!((middle_rate_of_counts(&looked_at, 995.0) - 100.0).abs() < 0.01);
        assert!(middle_rate(&[1.0]).is_nan());
    }
}
