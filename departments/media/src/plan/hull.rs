//! The upper convex hull of a cloud of (rate, quality) points.

use crate::{Error, plan::RateQuality};

/// Indices of the points on the upper hull, by rising rate.
///
/// On the hull quality strictly rises with rate and the gain per bit never rises, so no other point, and no mixture of
/// two others, has more quality for the same rate. Of equal points the first stays. [`Error::Curve`] for a rate that
/// is not positive or a score that is not finite; an empty cloud has an empty hull.
pub fn upper_hull(points: &[RateQuality]) -> Result<Vec<usize>, Error> {
    if let Some(bad) = points.iter().find(|p| !(p.rate > 0.0 && p.rate.is_finite() && p.quality.is_finite()))
    {
        return Err(Error::Curve(format!(
            "the point {} bit/s, {} is not a measured encode",
            bad.rate, bad.quality
        )));
    }
    let mut by_rate: Vec<usize> = (0..points.len()).collect();
    by_rate.sort_by(|&a, &b| {
        let (a, b) = (points[a], points[b]);
        a.rate.total_cmp(&b.rate).then(b.quality.total_cmp(&a.quality))
    });
    let mut hull: Vec<usize> = Vec::new();
    for index in by_rate {
        // Dominated: something cheaper is at least as good.
        if hull.last().is_some_and(|&last| points[last].quality >= points[index].quality) {
            continue;
        }
        while let [.., before, last] = hull[..] {
            if turns_down(points[before], points[last], points[index]) {
                break;
            }
            hull.pop();
        }
        hull.push(index);
    }
    Ok(hull)
}

/// Whether the gain per bit falls at `b` on the way from `a` to `c`.
fn turns_down(a: RateQuality, b: RateQuality, c: RateQuality) -> bool {
    (b.quality - a.quality) * (c.rate - b.rate) > (c.quality - b.quality) * (b.rate - a.rate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The definition, pair by pair: a point is off the hull when another, or a mixture of two, beats it.
        #[test]
        fn equals_its_definition(cloud in proptest::collection::vec((1_u32..60, 0_u32..60), 0..24)) {
            let points: Vec<RateQuality> =
                cloud.iter().map(|&(rate, quality)| RateQuality { rate: rate.into(), quality: quality.into() }).collect();
            let hull = upper_hull(&points).unwrap();
            let on_hull: Vec<RateQuality> = hull.iter().map(|&index| points[index]).collect();
            for pair in on_hull.windows(2) {
                prop_assert!(pair[0].rate < pair[1].rate && pair[0].quality < pair[1].quality);
            }
            for (index, point) in points.iter().enumerate() {
                let dominated = points.iter().enumerate().any(|(other, p)| {
                    p.rate <= point.rate
                        && p.quality >= point.quality
                        && ((p.rate, p.quality) != (point.rate, point.quality) || other < index)
                });
                let under_a_chord = points.iter().any(|a| points.iter().any(|b| {
                    a.rate < point.rate && point.rate < b.rate
                        && point.quality <= a.quality + (b.quality - a.quality) * (point.rate - a.rate) / (b.rate - a.rate)
                }));
                prop_assert_eq!(hull.contains(&index), !dominated && !under_a_chord, "{:?} of {:?}", point, points);
            }
        }
    }

    #[test]
    fn points_that_were_not_measured_are_refused() {
        for (rate, quality) in [(0.0, 40.0), (f64::NAN, 40.0), (1e6, f64::INFINITY), (1e6, f64::NAN)] {
            assert!(upper_hull(&[RateQuality { rate, quality }]).is_err());
        }
        assert!(upper_hull(&[]).unwrap().is_empty());
    }
}
