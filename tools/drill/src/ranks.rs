//! The rank test of Mann and Whitney: do two samples come from the same place?

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// By how much the median of the second is larger.
    pub(crate) delta: f64,
    /// How likely ranks differ at least so much by chance; two-sided, normal approximation.
    pub(crate) p: f64,
}

pub(crate) fn compare(one: &[f64], other: &[f64]) -> Comparison {
    Comparison { delta: median(other) - median(one), p: p(one, other) }
}

fn p(one: &[f64], other: &[f64]) -> f64 {
    let mut all: Vec<_> = one.iter().map(|&value| (value, true)).chain(other.iter().map(|&v| (v, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (n1, n2) = (real(one.len()), real(other.len()));
    let (n, mut rank_sum, mut ties, mut before) = (n1 + n2, 0.0, 0.0, 0.0);
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let size = real(tied.len());
        // All of them get the middle one of their ranks.
        let ours = tied.iter().filter(|(_, ours)| *ours).count();
        rank_sum += real(ours) * (before + (size + 1.0) / 2.0);
        ties += size.powi(3) - size;
        before += size;
    }
    let u = rank_sum - n1 * (n1 + 1.0) / 2.0;
    let variance = n1 * n2 / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if !variance.is_normal() || variance < 0.0 {
        return 1.0;
    }
    // Half a rank for continuity.
    let z = ((u - n1 * n2 / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    erfc(z / std::f64::consts::SQRT_2)
}

/// For z ≥ 0, good to 1.2e-7 of its value (Numerical Recipes).
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
fn real(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(compared: Comparison, delta: f64, p: f64) {
        assert!((compared.delta - delta).abs() < 1e-9 && (compared.p - p).abs() < 1e-6, "{compared:?}");
    }

    /// The first two as in the documentation of scipy.stats.mannwhitneyu; the third by hand, with ties.
    #[test]
    fn it_says_what_other_implementations_say() {
        is(compare(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 5.0, 0.012_185_8);
        is(compare(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]), -7.5, 0.111_346_9);
        is(compare(&[1.0, 2.0, 2.0, 3.0, 3.0, 3.0], &[2.0, 3.0, 3.0, 4.0, 5.0, 5.0]), 1.0, 0.078_402_9);
    }

    #[test]
    fn alike_is_alike_and_nothing_is_told_by_nothing() {
        is(compare(&[1.0; 50], &[1.0; 50]), 0.0, 1.0);
        let even: Vec<f64> = (0..200).map(|n| f64::from(n * 2)).collect();
        let odd: Vec<f64> = (0..200).map(|n| f64::from(n * 2 + 1)).collect();
        assert!(compare(&even, &odd).p > 0.5);
        assert_eq!(compare(&[], &[1.0]).p, 1.0);
    }

    #[test]
    fn a_shift_of_half_the_spread_shows_in_two_hundred() {
        let near: Vec<f64> = (0..200).map(f64::from).collect();
        let far: Vec<f64> = near.iter().map(|value| value + 100.0).collect();
        let compared = compare(&near, &far);
        assert!((compared.delta - 100.0).abs() < 1e-9 && compared.p < 1e-12, "{compared:?}");
    }
}
