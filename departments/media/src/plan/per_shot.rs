//! Which encode each shot of a rung gets: bits where they do most good.
//!
//! The best mixture of encodes for any budget spends the last bit of every shot equally well (D. T. Hoang and J. S.
//! Vitter, "Efficient Algorithms for MPEG Video Compression", section 2.4; I. Katsavounidis, "Dynamic optimizer",
//! Netflix, 2018). So the convex hull of each shot's (bytes, loss) points is walked from its cheapest point, and of all
//! steps of all shots the one that takes away most loss per byte comes next. Every place on this walk is a point of the
//! convex hull of all mixtures, and it passes all of them: a thousand shots with ten encodes each have 10^1000 mixtures,
//! and a walk of at most nine thousand steps.
//!
//! ```text
//!  loss                                 walk of two shots, a and b:
//!   | a0                                  (a0, b0)
//!   |    \   a1                           (a1, b0)   a0→a1 is the steepest step
//!   | b0   \ __                           (a1, b1)
//!   |   \ __    a2                        (a2, b1)
//!   |       b1
//!   +-------------- bytes
//! ```

use crate::{
    Error,
    plan::{RateQuality, pchip::Pchip, upper_hull},
};

/// An encode of a shot, as the walk sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// Bytes of its coded pictures, at least 1.
    pub bytes: u64,
    /// How bad it is, in any unit that may be added over shots: squared error times frames, or 100 less VMAF times
    /// frames.
    pub loss: f64,
}

/// All mixtures of equal slope, by rising bytes and falling loss. There is always a first one.
#[derive(Clone, Debug, PartialEq)]
pub struct EqualSlope {
    /// The cheapest encode of each shot.
    first: Vec<usize>,
    /// Shot and encode that each step changes to.
    steps: Vec<(usize, usize)>,
    /// Bytes and loss before the first step and after each.
    totals: Vec<(u64, f64)>,
}

/// Walks the shots' hulls. Equal steps are taken in the order of their shots.
///
/// [`Error::Curve`] without a shot, for a shot without an encode, and for an encode without bytes or with a loss that is not
/// finite.
pub fn equal_slope(shots: &[Vec<Offer>]) -> Result<EqualSlope, Error> {
    if shots.is_empty() {
        return Err(Error::Curve("a title without a shot has no ladder".to_owned()));
    }
    let mut first = Vec::with_capacity(shots.len());
    let mut gains: Vec<(f64, usize, usize)> = Vec::new();
    for (shot, offers) in shots.iter().enumerate() {
        let points: Vec<RateQuality> = offers
            .iter()
            .map(|offer| RateQuality { rate: offer.bytes as f64, quality: -offer.loss })
            .collect();
        let hull = upper_hull(&points)?;
        let Some(&cheapest) = hull.first() else {
            return Err(Error::Curve(format!("shot {shot} has no encode to choose from")));
        };
        first.push(cheapest);
        gains.extend(hull.windows(2).map(|step| {
            let (from, to) = (points[step[0]], points[step[1]]);
            ((to.quality - from.quality) / (to.rate - from.rate), shot, step[1])
        }));
    }
    // Stable, and a hull's gains fall: the steps of a shot stay in their order.
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));

    let mut choice = first.clone();
    let mut bytes: u64 = first.iter().zip(shots).map(|(&encode, offers)| offers[encode].bytes).sum();
    let mut totals = vec![(bytes, loss_of(&choice, shots))];
    for &(_, shot, encode) in &gains {
        bytes = bytes - shots[shot][choice[shot]].bytes + shots[shot][encode].bytes;
        let loss = totals[totals.len() - 1].1 - shots[shot][choice[shot]].loss + shots[shot][encode].loss;
        choice[shot] = encode;
        totals.push((bytes, loss));
    }
    // Small differences of large sums: the last total is put right, and what lies between is off by less than it was.
    if let Some(last) = totals.last_mut() {
        last.1 = loss_of(&choice, shots);
    }
    Ok(EqualSlope {
        first,
        steps: gains.into_iter().map(|(_, shot, encode)| (shot, encode)).collect(),
        totals,
    })
}

/// What a shot would weigh and lose at every whole rate factor between its trials: bytes and loss both fall and rise nearly
/// exponentially with the rate factor, so their logarithms are interpolated (PCHIP). `trials` are rate factors and what was
/// measured there, in any order.
///
/// [`Error::Curve`] for fewer than two rate factors, and for bytes or a loss that is not positive.
pub fn between(trials: &[(u32, Offer)]) -> Result<Vec<(u32, Offer)>, Error> {
    let mut trials = trials.to_vec();
    trials.sort_by_key(|&(crf, _)| crf);
    trials.dedup_by_key(|&mut (crf, _)| crf);
    let log = |of: fn(&Offer) -> f64| {
        let logs = trials.iter().map(|(crf, offer)| (f64::from(*crf), of(offer).ln()));
        Pchip::new(logs).ok_or_else(|| {
            Error::Curve(
                "a shot needs trials at two or more rate factors, each with some bytes and loss".to_owned(),
            )
        })
    };
    let (bytes, loss) = (log(|offer| offer.bytes as f64)?, log(|offer| offer.loss)?);
    let (Some((first, _)), Some((last, _))) = (trials.first(), trials.last()) else { return Ok(Vec::new()) };
    let at = |crf: u32| {
        // A trial is what it is; only between trials is anything guessed.
        if let Some(&trial) = trials.iter().find(|(own, _)| *own == crf) {
            return Some(trial);
        }
        let (bytes, loss) = (bytes.at(f64::from(crf))?.exp(), loss.at(f64::from(crf))?.exp());
        Some((crf, Offer { bytes: bytes.round().max(1.0) as u64, loss }))
    };
    Ok((*first..=*last).filter_map(at).collect())
}

fn loss_of(choice: &[usize], shots: &[Vec<Offer>]) -> f64 {
    choice.iter().zip(shots).map(|(&encode, offers)| offers[encode].loss).sum()
}

impl EqualSlope {
    /// Bytes and loss of every mixture, in order. Both are monotone, but for rounding in the loss.
    pub fn totals(&self) -> &[(u64, f64)] {
        &self.totals
    }

    /// The encode of each shot in mixture `number`, counted as in [`EqualSlope::totals`].
    pub fn choice(&self, number: usize) -> Vec<usize> {
        let mut choice = self.first.clone();
        for &(shot, encode) in &self.steps[..number] {
            choice[shot] = encode;
        }
        choice
    }

    /// At most `most` mixtures, at least 2, evenly spread over the logarithm of the bytes; the cheapest and the best are
    /// always among them.
    pub fn spread(&self, most: usize) -> Vec<usize> {
        let last = self.totals.len() - 1;
        if last < most {
            return (0..=last).collect();
        }
        let log = |number: usize| (self.totals[number].0 as f64).ln();
        let (low, high) = (log(0), log(last));
        let parts = most.max(2) - 1;
        let mut chosen: Vec<usize> = (0..=parts)
            .map(|part| {
                let aim = low + (high - low) * part as f64 / parts as f64;
                if part == parts {
                    last
                } else {
                    self.totals.partition_point(|total| (total.0 as f64).ln() < aim)
                }
            })
            .collect();
        chosen.dedup();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offers(points: &[(u64, f64)]) -> Vec<Offer> {
        points.iter().map(|&(bytes, loss)| Offer { bytes, loss }).collect()
    }

    #[test]
    fn bits_go_where_they_do_most_good() {
        let still = offers(&[(10, 5.0), (20, 4.0), (40, 3.5)]);
        let action = offers(&[(10, 100.0), (20, 60.0), (40, 30.0)]);
        let walk = equal_slope(&[still, action]).unwrap();
        let choices: Vec<Vec<usize>> = (0..walk.totals().len()).map(|number| walk.choice(number)).collect();
        assert_eq!(choices, [[0, 0], [0, 1], [0, 2], [1, 2], [2, 2]]);
        assert_eq!(walk.totals(), [(20, 105.0), (30, 65.0), (50, 35.0), (60, 34.0), (80, 33.5)]);
    }

    #[test]
    fn between_trials_bytes_and_loss_are_geometric() {
        let trial = |crf, bytes, loss| (crf, Offer { bytes, loss });
        let offers = between(&[trial(22, 100, 8.0), trial(20, 400, 2.0)]).unwrap();
        assert_eq!(
            offers.iter().map(|(crf, offer)| (*crf, offer.bytes)).collect::<Vec<_>>(),
            [(20, 400), (21, 200), (22, 100)]
        );
        assert!((offers[1].1.loss - 4.0).abs() < 1e-12);
        for bad in [vec![], vec![trial(20, 400, 2.0)], vec![trial(20, 400, 0.0), trial(22, 100, 1.0)]] {
            assert!(between(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shots_without_a_measured_encode_are_refused() {
        for shots in [vec![], vec![vec![]], vec![offers(&[(0, 1.0)])], vec![offers(&[(1, f64::NAN)])]] {
            assert!(equal_slope(&shots).is_err(), "{shots:?}");
        }
    }

    #[test]
    fn a_long_title_is_spread_over_its_rates() {
        let shot = |number: u64| offers(&[(10 + number, 9.0), (25 + number, 3.0), (80 + number, 1.0)]);
        let walk = equal_slope(&(0..500).map(shot).collect::<Vec<_>>()).unwrap();
        assert_eq!(walk.totals().len(), 1001);
        let spread = walk.spread(50);
        assert!(spread.len() > 40 && spread.len() <= 50, "{}", spread.len());
        assert_eq!((spread[0], spread[spread.len() - 1]), (0, 1000));
        assert_eq!(equal_slope(&[shot(0)]).unwrap().spread(50), [0, 1, 2]);
    }

    /// Every mixture there is.
    fn mixtures(shots: &[Vec<Offer>]) -> Vec<(u64, f64)> {
        shots.iter().fold(vec![(0, 0.0)], |sums, offers| {
            sums.iter()
                .flat_map(|&(bytes, loss)| {
                    offers.iter().map(move |offer| (bytes + offer.bytes, loss + offer.loss))
                })
                .collect()
        })
    }

    proptest! {
        /// The corners of the hull of all mixtures, found by trying them all, are on the walk, and the walk is on the hull.
        #[test]
        fn the_walk_is_the_hull_of_all_mixtures(
            shots in proptest::collection::vec(proptest::collection::vec((1_u64..50, 0_u32..50), 1..5), 1..5),
        ) {
            let shots: Vec<Vec<Offer>> = shots
                .iter()
                .map(|points| points.iter().map(|&(bytes, loss)| Offer { bytes, loss: loss.into() }).collect())
                .collect();
            let walk = equal_slope(&shots).unwrap();
            for (number, &(bytes, loss)) in walk.totals().iter().enumerate() {
                let choice = walk.choice(number);
                let sum: u64 = choice.iter().zip(&shots).map(|(&encode, offers)| offers[encode].bytes).sum();
                prop_assert_eq!(bytes, sum);
                prop_assert_eq!(loss, loss_of(&choice, &shots));
            }
            let all: Vec<RateQuality> = mixtures(&shots)
                .iter()
                .map(|&(bytes, loss)| RateQuality { rate: bytes as f64, quality: -loss })
                .collect();
            for corner in upper_hull(&all).unwrap() {
                let corner = (all[corner].rate as u64, -all[corner].quality);
                prop_assert!(walk.totals().contains(&corner), "{:?} is not on {:?}", corner, walk.totals());
            }
            let best = all.iter().map(|point| point.quality).fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(-walk.totals()[walk.totals().len() - 1].1, best);
        }
    }
}
