//! Choosing the rungs of a ladder among the points of the hull.

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    plan::{Metric, RateQuality, Size, Trial, upper_hull},
};

/// What a rung can be: one encode of the whole title, or a mixture of encodes of one size, shot by shot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Encoded size, the same in all shots: players change it only from rung to rung.
    pub size: Size,
    /// Mean rate and pooled quality over the title.
    pub point: RateQuality,
}

impl From<Trial> for Candidate {
    fn from(trial: Trial) -> Self {
        Self { size: trial.size, point: trial.point }
    }
}

/// What a ladder must look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LadderOptions {
    /// The most rungs, at least 1.
    pub max_rungs: usize,
    /// The least ratio of a rung's rate to that of the rung below. Players switch badly between rungs closer than this;
    /// 1.5 to 2 is what the HLS Authoring Specification (Apple, section 9.28) asks for.
    pub min_rate_ratio: f64,
    /// The least gain in quality over the rung below, in the unit of the trials' scores. Below what an eye can tell,
    /// a rung is a waste of cache.
    pub min_quality_step: f64,
    /// Quality beyond which more bits are wasted: the top rung is the cheapest hull point that reaches it.
    pub enough_quality: f64,
    /// The highest rate of a rung in bits per second.
    pub max_rate: f64,
}

impl LadderOptions {
    /// What suits a metric. In PSNR half a dB is a visible step, and above 50 dB eight-bit video is visually lossless. In VMAF six
    /// points are a just noticeable difference and a third of that is a step worth having; above 97 nobody tells it from the
    /// source.
    pub fn for_metric(metric: Metric) -> Self {
        let (min_quality_step, enough_quality) = match metric {
            Metric::Psnr => (0.5, 50.0),
            Metric::Vmaf => (2.0, 97.0),
        };
        Self { max_rungs: 8, min_rate_ratio: 1.4, min_quality_step, enough_quality, max_rate: 40e6 }
    }
}

impl Default for LadderOptions {
    /// For PSNR.
    fn default() -> Self {
        Self::for_metric(Metric::Psnr)
    }
}

/// A rung that is asked for by what it has to be.
///
/// ```
/// use backlot_media::plan::Target;
/// assert_eq!("vmaf=93".parse(), Ok(Target::Vmaf(93.0)));
/// assert_eq!("rate=1.5M".parse(), Ok(Target::Rate(1_500_000.0)));
/// assert!("rate=soon".parse::<Target>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The least bits for this VMAF.
    Vmaf(f64),
    /// The least bits for this PSNR in dB.
    Psnr(f64),
    /// The best quality for this many bits per second.
    Rate(f64),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is no target; write vmaf=93, psnr=40 or rate=1500k");
        let (what, value) = text.split_once('=').ok_or_else(form)?;
        let (digits, factor) = match value.trim_end_matches(['k', 'K', 'M']) {
            digits if digits.len() + 1 < value.len() => return Err(form()),
            digits if what != "rate" || digits.len() == value.len() => (value, 1.0),
            digits if value.ends_with('M') => (digits, 1e6),
            digits => (digits, 1e3),
        };
        let value = digits.parse::<f64>().map_err(|_| form())? * factor;
        match what {
            "vmaf" if (0.0..=100.0).contains(&value) => Ok(Self::Vmaf(value)),
            "psnr" if value.is_finite() => Ok(Self::Psnr(value)),
            "rate" if value > 0.0 && value.is_finite() => Ok(Self::Rate(value)),
            _ => Err(form()),
        }
    }
}

/// What a caller asks of a ladder; the rest is what suits the metric. Fields are those of [`LadderOptions`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LadderRules {
    /// One rung for each; none for a ladder that covers the hull.
    pub targets: Vec<Target>,
    /// See [`LadderOptions::min_rate_ratio`].
    pub min_rate_ratio: Option<f64>,
    /// See [`LadderOptions::min_quality_step`].
    pub min_quality_step: Option<f64>,
    /// See [`LadderOptions::enough_quality`].
    pub enough_quality: Option<f64>,
    /// See [`LadderOptions::max_rate`].
    pub max_rate: Option<f64>,
}

impl LadderRules {
    /// The options for a ladder of at most `max_rungs` rungs.
    pub fn options(&self, metric: Metric, max_rungs: usize) -> LadderOptions {
        let usual = LadderOptions::for_metric(metric);
        LadderOptions {
            max_rungs,
            min_rate_ratio: self.min_rate_ratio.unwrap_or(usual.min_rate_ratio),
            min_quality_step: self.min_quality_step.unwrap_or(usual.min_quality_step),
            enough_quality: self.enough_quality.unwrap_or(usual.enough_quality),
            max_rate: self.max_rate.unwrap_or(usual.max_rate),
        }
    }
}

/// The ladder: indices into `candidates`, by rising rate.
///
/// Rungs are points of the upper hull; the size never falls as the rate rises, and neighbours keep the least steps.
/// The top rung is the best affordable point (see [`LadderOptions::enough_quality`]); below it, of all chains that
/// keep the rules, the one is taken that covers the hull most evenly, in log rate and quality alike: the sum of the
/// squares of the gaps is least. The gap from the hull's lowest point up to the lowest rung counts double, because no
/// rung bounds it from below. More rungs always make the sum smaller, so the ladder has as many as the rules allow.
///
/// [`Error::Curve`] when a candidate is not a measured encode, or none is within the maximal rate.
pub fn select_ladder(candidates: &[Candidate], options: &LadderOptions) -> Result<Vec<usize>, Error> {
    let points: Vec<RateQuality> = candidates.iter().map(|candidate| candidate.point).collect();
    let mut hull = upper_hull(&points)?;
    hull.retain(|&index| points[index].rate <= options.max_rate);
    if let Some(enough) = hull.iter().position(|&index| points[index].quality >= options.enough_quality) {
        hull.truncate(enough + 1);
    }
    let (Some(&lowest), Some(&top)) = (hull.first(), hull.last()) else {
        return Err(Error::Curve(format!(
            "no trial encode is within {} bit/s; encode smaller sizes or raise the maximal rate",
            options.max_rate
        )));
    };
    let position = Positions::new(points[lowest], points[top]);
    let allowed = |below: usize, above: usize| {
        let (below, above) = (&candidates[hull[below]], &candidates[hull[above]]);
        above.point.rate >= below.point.rate * options.min_rate_ratio
            && above.point.quality >= below.point.quality + options.min_quality_step
            && above.size.area() >= below.size.area()
    };
    let gaps: Vec<f64> = hull.iter().map(|&index| position.of(points[index])).collect();
    let chain = most_even_chain(&gaps, options.max_rungs.max(1), allowed);
    Ok(chain.into_iter().map(|index| hull[index]).collect())
}

/// The rungs that `rules` ask for, as indices into `candidates`, by rising rate: for targets the hull's points that meet them,
/// else [`select_ladder`].
///
/// A quality that no candidate has gives the best one, and a rate below all the cheapest: what a title cannot be is seen in the
/// report. [`Error::Curve`] as for [`select_ladder`], and for a target in a metric that was not measured.
pub fn select_rungs(
    candidates: &[Candidate],
    metric: Metric,
    rules: &LadderRules,
    max_rungs: usize,
) -> Result<Vec<usize>, Error> {
    if rules.targets.is_empty() {
        return select_ladder(candidates, &rules.options(metric, max_rungs));
    }
    let points: Vec<RateQuality> = candidates.iter().map(|candidate| candidate.point).collect();
    let hull = upper_hull(&points)?;
    let last = hull
        .len()
        .checked_sub(1)
        .ok_or_else(|| Error::Curve("there is no encode to choose from".to_owned()))?;
    let mut places = Vec::with_capacity(rules.targets.len());
    for &target in &rules.targets {
        let place = match (target, metric) {
            (Target::Rate(rate), _) => {
                hull.partition_point(|&index| points[index].rate <= rate).saturating_sub(1)
            }
            (Target::Vmaf(quality), Metric::Vmaf) | (Target::Psnr(quality), Metric::Psnr) => {
                hull.partition_point(|&index| points[index].quality < quality).min(last)
            }
            (Target::Vmaf(_) | Target::Psnr(_), _) => {
                let name = metric.name();
                return Err(Error::Curve(format!(
                    "a target is in another metric than {name}, which this title is measured with; give it in {name}, or \
                     choose the metric with --quality"
                )));
            }
        };
        places.push(place);
    }
    places.sort_unstable();
    places.dedup();
    Ok(places.into_iter().map(|place| hull[place]).collect())
}

/// Where a point lies between the lowest and the top one, 0 to 1: the mean of its places in log rate and in quality.
struct Positions {
    lowest: RateQuality,
    log_rate_span: f64,
    quality_span: f64,
}

impl Positions {
    fn new(lowest: RateQuality, top: RateQuality) -> Self {
        let span = |span: f64| if span > 0.0 { span } else { 1.0 };
        Self {
            lowest,
            log_rate_span: span((top.rate / lowest.rate).ln()),
            quality_span: span(top.quality - lowest.quality),
        }
    }

    fn of(&self, point: RateQuality) -> f64 {
        let in_rate = (point.rate / self.lowest.rate).ln() / self.log_rate_span;
        let in_quality = (point.quality - self.lowest.quality) / self.quality_span;
        f64::midpoint(in_rate, in_quality)
    }
}

/// The chain of rising indices that ends at the last one, has at most `longest` links, allows each step, and has the
/// least sum of squared gaps. By dynamic programming over (last index, length); hulls have tens of points.
fn most_even_chain(positions: &[f64], longest: usize, allowed: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let count = positions.len();
    let first_gap = |index: usize| (2.0 * (positions[index] - positions[0])).powi(2);
    // For each length, per last index, the least cost and the index before.
    let mut layers: Vec<Vec<(f64, Option<usize>)>> =
        vec![(0..count).map(|index| (first_gap(index), None)).collect()];
    for length in 1..longest.min(count) {
        let shorter = &layers[length - 1];
        let layer = (0..count).map(|above| {
            let steps = (0..above).filter(|&below| shorter[below].0.is_finite() && allowed(below, above));
            steps
                .map(|below| (shorter[below].0 + (positions[above] - positions[below]).powi(2), Some(below)))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap_or((f64::INFINITY, None))
        });
        layers.push(layer.collect());
    }
    let top = count - 1;
    let best = (0..layers.len()).min_by(|&a, &b| layers[a][top].0.total_cmp(&layers[b][top].0)).unwrap_or(0);
    let mut chain = vec![top];
    let mut length = best;
    while let Some(below) = layers[length][chain[chain.len() - 1]].1 {
        chain.push(below);
        length -= 1;
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(height: u32, rate: f64, quality: f64) -> Candidate {
        Candidate { size: Size { width: height * 2, height }, point: RateQuality { rate, quality } }
    }

    #[test]
    fn rungs_lie_on_the_hull_and_sizes_rise() {
        let candidates = [
            candidate(180, 1e5, 30.0),
            candidate(180, 2e5, 31.5),
            candidate(360, 2e5, 33.0),
            candidate(360, 4e5, 35.5),
            candidate(720, 4e5, 34.0),
            candidate(720, 8e5, 38.0),
            candidate(720, 16e5, 40.0),
            candidate(720, 17e5, 40.1),
        ];
        assert_eq!(select_ladder(&candidates, &LadderOptions::default()).unwrap(), [0, 2, 3, 5, 7]);
        let three = LadderOptions { max_rungs: 3, ..LadderOptions::default() };
        let ladder = select_ladder(&candidates, &three).unwrap();
        assert_eq!((ladder.len(), ladder[0], ladder[2]), (3, 0, 7));
        let modest = LadderOptions { enough_quality: 35.0, ..LadderOptions::default() };
        assert_eq!(select_ladder(&candidates, &modest).unwrap(), [0, 2, 3]);
        let starved = LadderOptions { max_rate: 1e4, ..LadderOptions::default() };
        assert!(select_ladder(&candidates, &starved).unwrap_err().to_string().contains("10000 bit/s"));
    }

    #[test]
    fn one_trial_is_a_ladder_of_one() {
        assert_eq!(select_ladder(&[candidate(180, 1e5, 30.0)], &LadderOptions::default()).unwrap(), [0]);
    }

    #[test]
    fn targets_are_met_with_the_least_bits() {
        let candidates: Vec<Candidate> = (1..=20)
            .map(|step: u32| candidate(360, f64::from(step * step) * 1e4, 50.0 + 2.0 * f64::from(step)))
            .collect();
        let rules = |targets: &[Target]| LadderRules { targets: targets.to_vec(), ..LadderRules::default() };
        let chosen = |targets: &[Target]| select_rungs(&candidates, Metric::Vmaf, &rules(targets), 6);
        assert_eq!(chosen(&[Target::Vmaf(70.0), Target::Vmaf(60.5), Target::Vmaf(70.0)]).unwrap(), [5, 9]);
        assert_eq!(chosen(&[Target::Rate(9e4), Target::Rate(1e5), Target::Rate(1e3)]).unwrap(), [0, 2]);
        assert_eq!(chosen(&[Target::Vmaf(99.0)]).unwrap(), [19], "the best there is");
        assert!(chosen(&[Target::Psnr(40.0)]).unwrap_err().to_string().contains("--quality"));
        assert!(select_rungs(&[], Metric::Vmaf, &rules(&[Target::Rate(1e6)]), 6).is_err());
    }

    #[test]
    fn targets_are_read_or_refused() {
        assert_eq!("rate=800k".parse(), Ok(Target::Rate(800_000.0)));
        assert_eq!("psnr=41.5".parse(), Ok(Target::Psnr(41.5)));
        for bad in [
            "", "93", "vmaf=", "vmaf=101", "vmaf=9k", "rate=0", "rate=-1k", "rate=1kk", "ssim=0.9",
            "rate=NaN",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    proptest! {
        /// Every ladder keeps the rules, and no chain found by trying all of them is more even.
        #[test]
        fn the_rules_hold(cloud in proptest::collection::vec((1_u32..40, 0_u32..40, 1_u32..4), 1..10), max_rungs in 1_usize..5) {
            let candidates: Vec<Candidate> =
                cloud.iter().map(|&(rate, quality, height)| candidate(height * 100, rate.into(), quality.into())).collect();
            let options = LadderOptions { max_rungs, ..LadderOptions::default() };
            let ladder = select_ladder(&candidates, &options).unwrap();
            prop_assert!(!ladder.is_empty() && ladder.len() <= max_rungs);
            for pair in ladder.windows(2) {
                let (below, above) = (candidates[pair[0]], candidates[pair[1]]);
                prop_assert!(above.point.rate >= below.point.rate * 1.4);
                prop_assert!(above.point.quality >= below.point.quality + 0.5);
                prop_assert!(above.size.area() >= below.size.area());
            }
        }

        #[test]
        fn no_chain_is_more_even(steps in proptest::collection::vec(0.01_f64..1.0, 1..8), longest in 1_usize..5, forbidden in any::<u64>()) {
            let mut position = 0.0;
            let positions: Vec<f64> = steps.iter().map(|step| { position += step; position }).collect();
            let allowed = |below: usize, above: usize| forbidden >> (below * 8 + above) & 1 == 0;
            let cost = |chain: &[usize]| {
                (2.0 * (positions[chain[0]] - positions[0])).powi(2)
                    + chain.windows(2).map(|pair| (positions[pair[1]] - positions[pair[0]]).powi(2)).sum::<f64>()
            };
            let found = cost(&most_even_chain(&positions, longest, allowed));
            let top = positions.len() - 1;
            for choice in 0_u32..1 << top {
                let chain: Vec<usize> = (0..top).filter(|index| choice >> index & 1 == 1).chain([top]).collect();
                if chain.len() <= longest && chain.windows(2).all(|pair| allowed(pair[0], pair[1])) {
                    prop_assert!(found <= cost(&chain) + 1e-12);
                }
            }
        }
    }
}
