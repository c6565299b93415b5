//! Mann-Whitney U test (rank test): whether two samples come from the same distribution.

/// Result of [`mann_whitney`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTest {
    /// Median of the second sample minus median of the first; NaN if a sample is empty.
    pub median_difference: f64,
    /// Probability that the ranks of two samples of the same distribution differ at least as much (two-sided, normal
    /// approximation with tie and continuity correction). 1 if a sample is empty.
    pub p_value: f64,
}

/// Compares two samples. The approximation needs about ten values on each side.
pub fn mann_whitney(first: &[f64], second: &[f64]) -> RankTest {
    RankTest { median_difference: median(second) - median(first), p_value: p_value(first, second) }
}

fn p_value(first: &[f64], second: &[f64]) -> f64 {
    let in_first = first.iter().map(|&value| (value, true));
    let in_second = second.iter().map(|&value| (value, false));
    let mut all: Vec<_> = in_first.chain(in_second).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n1 = to_f64(first.len());
    let n2 = to_f64(second.len());
    let n = n1 + n2;
    let (mut rank_sum, mut tie_correction, mut preceding) = (0.0, 0.0, 0.0);
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let size = to_f64(tied.len());
        // Tied values share the mean of their ranks.
        let from_first = tied.iter().filter(|(_, is_first)| *is_first).count();
        rank_sum += to_f64(from_first) * (preceding + (size + 1.0) / 2.0);
        tie_correction += size.powi(3) - size;
        preceding += size;
    }
    let u = rank_sum - n1 * (n1 + 1.0) / 2.0;
    let variance = n1 * n2 / 12.0 * (n + 1.0 - tie_correction / (n * (n - 1.0)));
    if !variance.is_normal() || variance < 0.0 {
        return 1.0;
    }
    // Continuity correction of half a rank.
    let z = ((u - n1 * n2 / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    erfc(z / std::f64::consts::SQRT_2)
}

/// Complementary error function for z ≥ 0, with a relative error of at most 1.2e-7 (Numerical Recipes).
fn erfc(z: f64) -> f64 {
    const C: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + z / 2.0);
    t * (-z * z + C.iter().rev().fold(0.0, |sum, c| sum * t + c)).exp()
}

fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => f64::NAN,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(sorted[middle - 1], *upper),
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are small")]
fn to_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_result(result: RankTest, median_difference: f64, p_value: f64) {
        assert!((result.median_difference - median_difference).abs() < 1e-9, "{result:?}");
        assert!((result.p_value - p_value).abs() < 1e-6, "{result:?}");
    }

    /// The first two are from the documentation of scipy.stats.mannwhitneyu; the third, with ties, was calculated by
    /// hand.
    #[test]
    fn results_agree_with_other_implementations() {
        assert_result(mann_whitney(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 5.0, 0.012_185_8);
        assert_result(mann_whitney(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]), -7.5, 0.111_346_9);
        assert_result(mann_whitney(&[1.0, 2.0, 2.0, 3.0, 3.0, 3.0], &[2.0, 3.0, 3.0, 4.0, 5.0, 5.0]), 1.0, 0.078_402_9);
    }

    #[test]
    fn equal_or_empty_samples_do_not_differ() {
        assert_result(mann_whitney(&[1.0; 50], &[1.0; 50]), 0.0, 1.0);
        let even: Vec<f64> = (0..200).map(|n| f64::from(n * 2)).collect();
        let odd: Vec<f64> = (0..200).map(|n| f64::from(n * 2 + 1)).collect();
        assert!(mann_whitney(&even, &odd).p_value > 0.5);
        assert_eq!(mann_whitney(&[], &[1.0]).p_value, 1.0);
    }

    #[test]
    fn shift_of_half_the_spread_is_found_in_200_values() {
        let original: Vec<f64> = (0..200).map(f64::from).collect();
        let shifted: Vec<f64> = original.iter().map(|value| value + 100.0).collect();
        let result = mann_whitney(&original, &shifted);
        assert!((result.median_difference - 100.0).abs() < 1e-9 && result.p_value < 1e-12, "{result:?}");
    }
}
