//! Tail probabilities and control of false discoveries.

/// The chance that a standard normal lies at least this far from 0, to either side.
pub fn normal_two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The value below which a standard normal lies with this chance, 0 to 1: the inverse by halving, to the last bits.
pub fn normal_quantile(chance: f64) -> f64 {
    if !(0.0..=1.0).contains(&chance) {
        return f64::NAN;
    }
    if chance == 0.0 || chance == 1.0 {
        return if chance == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    // The chances of both tails are exact near 0; that of the upper one is used for both.
    let tail = chance.min(1.0 - chance);
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if normal_two_sided(middle) / 2.0 > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    if chance < 0.5 { -low } else { low }
}

/// The chance that Student's t with `freedom` degrees lies at least this far from 0, to either side (M. Abramowitz, I. Stegun, 26.7.1: an incomplete beta function).
pub fn student_two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The regularised incomplete beta function Iₓ(a, b) by its continued fraction (Abramowitz and Stegun, 26.5.8), evaluated as W. J. Lentz does (1976).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let guarded = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guarded(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..300 {
        let m = f64::from(step);
        for numerator in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / guarded(1.0 + numerator * d);
            c = guarded(1.0 + numerator / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    let log_front =
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    (libm::exp(log_front) * fraction / a).clamp(0.0, 1.0)
}

/// For each p-value the least rate of false discoveries at which it is one, whatever the dependence between the tests (Y. Benjamini, D. Yekutieli, The control of the false
/// discovery rate in multiple testing under dependency, 2001).
pub fn benjamini_yekutieli(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let harmonic: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]).then(a.cmp(&b)));
    let mut adjusted = vec![1.0; count];
    let mut least = 1.0_f64;
    for (rank, &index) in order.iter().enumerate().rev() {
        least = least.min(p_values[index] * harmonic * count as f64 / (rank + 1) as f64);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        assert!((normal_two_sided(1.959_963_984_540_054) - 0.05).abs() < 1e-14);
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!((normal_quantile(0.01) + 2.326_347_874_040_841).abs() < 1e-12);
        assert_eq!(normal_quantile(0.5), 0.0);
        assert!(normal_quantile(f64::NAN).is_nan() && normal_quantile(1.0) == f64::INFINITY);
        let five_percent = student_two_sided(2.228_138_851_964_939, 10.0);
        assert!((five_percent - 0.05).abs() < 1e-9, "{five_percent}");
        assert!((student_two_sided(1.0, 1.0) - 0.5).abs() < 1e-12);
        assert!((student_two_sided(40.0, 30.0) / 1.372_604_519_440_6e-27 - 1.0).abs() < 1e-9);
        assert!((student_two_sided(8.5, 23.0) / 1.492_504_681_075e-8 - 1.0).abs() < 1e-9);
        assert_eq!(student_two_sided(0.0, 5.0), 1.0);
        assert_eq!(student_two_sided(f64::INFINITY, 5.0), 0.0);
    }

    #[test]
    fn adjusted_values_keep_the_order() {
        let adjusted = benjamini_yekutieli(&[0.01, 0.04, 0.03, 0.5]);
        let harmonic = 25.0 / 12.0;
        assert!((adjusted[0] - 0.04 * harmonic).abs() < 1e-12);
        assert!((adjusted[1] - 0.16 / 3.0 * harmonic).abs() < 1e-12);
        assert_eq!(adjusted[1], adjusted[2]);
        assert_eq!(adjusted[3], 1.0);
        assert!(benjamini_yekutieli(&[]).is_empty());
    }
}
