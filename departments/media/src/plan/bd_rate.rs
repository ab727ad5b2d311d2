//! What one set of encodes saves against another at equal quality.
//!
//! The BD-rate (G. Bjøntegaard, VCEG-M33, 2001) is the mean relative difference in rate of two curves over the
//! qualities both reach, here as the JCT-VC practice has it: log10 of the rate interpolated over quality by PCHIP and
//! integrated exactly.

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    plan::{RateQuality, pchip::Pchip},
};

/// Fewest points per curve for a BD-rate; below four the cubic says more about itself than about the encodes.
const MIN_POINTS: usize = 4;

/// The BD-rate of `test` against `anchor`: -0.2 means a fifth fewer bits at equal quality.
///
/// Points may come in any order. [`Error::Curve`] when a curve has fewer than four points, a rate that is not positive
/// or a score that is not finite, two points of equal quality, or when the two share no range of quality.
pub fn bd_rate(anchor: &[RateQuality], test: &[RateQuality]) -> Result<f64, Error> {
    for curve in [anchor, test] {
        if curve.len() < MIN_POINTS {
            return Err(Error::Curve(format!(
                "it has {} points; BD-rate needs at least {MIN_POINTS}",
                curve.len()
            )));
        }
    }
    let (anchor, test) = (log_rate_over_quality(anchor)?, log_rate_over_quality(test)?);
    let low = anchor.range().0.max(test.range().0);
    let high = anchor.range().1.min(test.range().1);
    if low >= high {
        return Err(Error::Curve(
            "the two share no range of quality; add encodes until they overlap".to_owned(),
        ));
    }
    let mean_difference = (test.integral(low, high) - anchor.integral(low, high)) / (high - low);
    Ok(10_f64.powf(mean_difference) - 1.0)
}

/// What a ladder saves against a fixed one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saving {
    /// For each rung of the fixed ladder whose quality the other reaches.
    pub rungs: Vec<RungSaving>,
    /// Mean over those rungs of the relative difference in rate; negative is fewer bits. `None` when there are none.
    pub mean: Option<f64>,
}

/// One rung of the fixed ladder against the other ladder at the same quality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungSaving {
    /// The fixed rung.
    pub fixed: RateQuality,
    /// The rate at which the other ladder's curve has the fixed rung's quality, in bits per second.
    pub rate: f64,
    /// `rate / fixed.rate - 1`.
    pub difference: f64,
}

/// Compares `chosen` (a ladder or a hull, two points or more) with each rung of `fixed` at equal quality. Rungs whose
/// quality lies outside the chosen curve are left out, never extrapolated.
pub fn saving(fixed: &[RateQuality], chosen: &[RateQuality]) -> Result<Saving, Error> {
    let curve = log_rate_over_quality(chosen)?;
    let rungs: Vec<RungSaving> = fixed
        .iter()
        .filter_map(|&fixed| {
            let rate = 10_f64.powf(curve.at(fixed.quality)?);
            Some(RungSaving { fixed, rate, difference: rate / fixed.rate - 1.0 })
        })
        .collect();
    let mean = (!rungs.is_empty())
        .then(|| rungs.iter().map(|rung| rung.difference).sum::<f64>() / rungs.len() as f64);
    Ok(Saving { rungs, mean })
}

fn log_rate_over_quality(points: &[RateQuality]) -> Result<Pchip, Error> {
    if let Some(bad) = points.iter().find(|point| !(point.rate > 0.0 && point.rate.is_finite())) {
        return Err(Error::Curve(format!("a rate of {} bit/s is not positive", bad.rate)));
    }
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.quality.total_cmp(&b.quality));
    Pchip::new(sorted.iter().map(|point| (point.quality, point.rate.log10()))).ok_or_else(|| {
        Error::Curve("it needs two or more points of different, finite quality; drop the doubles".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Vec<RateQuality> {
        points.iter().map(|&(rate, quality)| RateQuality { rate, quality }).collect()
    }

    /// The two pairs by which the JCT-VC spreadsheet and the public calculators are checked.
    #[test]
    #[allow(clippy::unreadable_literal, reason = "digits as published")]
    fn jct_vc_pairs() {
        let anchor = curve(&[
            (108048.8736, 43.6471),
            (61279.976, 40.3953),
            (33905.6656, 37.247),
            (18883.6928, 34.2911),
        ]);
        let test = curve(&[
            (108061.2784, 43.6768),
            (61299.9936, 40.4232),
            (33928.7472, 37.2761),
            (18910.912, 34.3147),
        ]);
        assert!((bd_rate(&anchor, &test).unwrap() - -0.00465215420752807).abs() < 1e-12);
        let anchor =
            curve(&[(40433.8848, 37.5761), (7622.7456, 35.3756), (2394.488, 33.8977), (1017.6184, 32.0603)]);
        let test =
            curve(&[(40370.12, 37.5982), (7587.0024, 35.4025), (2390.0944, 33.9194), (1017.0984, 32.0822)]);
        assert!((bd_rate(&anchor, &test).unwrap() - -0.018779823450567612).abs() < 1e-12);
    }

    #[test]
    fn half_the_rate_is_minus_fifty_percent() {
        let anchor = curve(&[(1e6, 30.0), (2e6, 34.0), (4e6, 37.0), (8e6, 39.0)]);
        let half: Vec<RateQuality> =
            anchor.iter().rev().map(|point| RateQuality { rate: point.rate / 2.0, ..*point }).collect();
        assert!((bd_rate(&anchor, &half).unwrap() + 0.5).abs() < 1e-12);
        let saving = saving(&anchor, &half).unwrap();
        assert_eq!(saving.rungs.len(), 4);
        assert!((saving.mean.unwrap() + 0.5).abs() < 1e-12);
    }

    #[test]
    fn curves_that_cannot_be_compared_are_refused() {
        let anchor = curve(&[(1e6, 30.0), (2e6, 34.0), (4e6, 37.0), (8e6, 39.0)]);
        let higher = curve(&[(1e6, 40.0), (2e6, 44.0), (4e6, 47.0), (8e6, 49.0)]);
        let flat = curve(&[(1e6, 40.0), (2e6, 40.0), (4e6, 47.0), (8e6, 49.0)]);
        let endless = curve(&[(1e6, 40.0), (2e6, f64::INFINITY), (4e6, 47.0), (8e6, 49.0)]);
        let free = curve(&[(0.0, 40.0), (2e6, 41.0), (4e6, 47.0), (8e6, 49.0)]);
        for other in [&higher, &flat, &endless, &free, &anchor[..3].to_vec()] {
            assert!(matches!(bd_rate(&anchor, other), Err(Error::Curve(_))), "{other:?}");
        }
        assert_eq!(saving(&anchor, &higher).unwrap().mean, None);
    }
}
