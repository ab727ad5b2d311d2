//! Whether the frames of a clip are evenly spaced, and at which rate.
//!
//! Timestamps are rounded to the container's ticks (a millisecond in Matroska, where film has frames of 41 and 42 ms),
//! so neighbours tell little. Instead each candidate rate is laid over the whole clip: the rate is constant when no
//! frame is further from its place than rounding explains.

use backlot_frames::Rate;

/// How far a frame may be from its place, in frame durations, beside one tick of rounding. A dropped or doubled frame
/// is off by a whole one; jitter of capture clocks by hundredths.
const TOLERANCE: f64 = 0.25;

/// Rates that clips are made at, tried when the container's own claim does not fit.
const USUAL_RATES: [(u32, u32); 14] = [
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (100, 1),
    (120_000, 1001),
    (120, 1),
    (15, 1),
    (10, 1),
];

/// What the timestamps say.
pub(crate) struct Timing {
    /// The constant rate, or one that a variable clip could be converted to.
    pub(crate) rate: Rate,
    /// Whether no constant rate fits.
    pub(crate) variable: bool,
    /// The first frame's place in seconds, averaged over the rounding of all.
    pub(crate) start: f64,
}

/// Fits a rate to frames shown at `times`, in ticks of `tick` seconds. `nominal` is the container's claim.
pub(crate) fn fit(times: &[i64], tick: f64, nominal: Option<Rate>) -> Timing {
    let usual = USUAL_RATES.iter().filter_map(|&(num, den)| Rate::new(num, den).ok());
    let first = times.first().map_or(0.0, |&time| time as f64 * tick);
    let mean = mean_rate(times, tick);
    let measured = mean.and_then(nearest_rational);
    let candidates = nominal.into_iter().chain(usual.clone()).chain(measured);
    for rate in candidates {
        if let Some(start) = place(times, tick, rate) {
            return Timing { rate, variable: false, start };
        }
    }
    let mean = mean.unwrap_or(25.0);
    // Doubling a frame shows less than dropping one: the container's claim or the next usual rate, not below the mean.
    let enough = |rate: &Rate| rate.per_second() >= mean * 0.999;
    let plausible = |rate: &Rate| enough(rate) && rate.per_second() <= 4.0 * mean;
    let next_usual = usual.filter(enough).min_by(|a, b| a.per_second().total_cmp(&b.per_second()));
    let suggested = nominal.filter(plausible).or(next_usual).or(measured);
    let rate = suggested.unwrap_or_else(|| Rate::new(25, 1).expect("invariant: 25/1 is a rate"));
    Timing { rate, variable: true, start: first }
}

/// Where the first frame is when frames come at `rate`; `None` when some frame is out of place.
fn place(times: &[i64], tick: f64, rate: Rate) -> Option<f64> {
    let &first = times.first()?;
    let (mut early, mut late) = (0.0_f64, 0.0_f64);
    for (index, &time) in times.iter().enumerate() {
        let off = (time - first) as f64 * tick - rate.seconds(index as u64);
        early = early.min(off);
        late = late.max(off);
    }
    let allowed = tick + TOLERANCE / rate.per_second();
    let start = first as f64 * tick + f64::midpoint(early, late);
    // Nothing is known to more than the microsecond.
    (late - early <= allowed).then_some((start * 1e6).round() / 1e6)
}

fn mean_rate(times: &[i64], tick: f64) -> Option<f64> {
    let span = (times.last()? - times.first()?) as f64 * tick;
    (span > 0.0).then(|| (times.len() - 1) as f64 / span)
}

/// The rate as thousandths, for clips of an unusual one (time lapses, screen recordings).
fn nearest_rational(per_second: f64) -> Option<Rate> {
    Rate::new((per_second * 1000.0).round() as u32, 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rate: f64, frames: i64, tick: f64) -> Vec<i64> {
        (0..frames).map(|index| (index as f64 / rate / tick).round() as i64).collect()
    }

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn rounding_to_ticks_is_not_variable() {
        let film = at(24_000.0 / 1001.0, 5000, 0.001);
        for nominal in [None, Some(rate("24000/1001")), Some(rate("1000/1"))] {
            let timing = fit(&film, 0.001, nominal);
            assert_eq!((timing.rate, timing.variable), (rate("24000/1001"), false));
        }
        let timing = fit(&at(12.5, 100, 1.0 / 90_000.0), 1.0 / 90_000.0, None);
        assert_eq!((timing.rate, timing.variable), (rate("25/2"), false));
    }

    #[test]
    fn a_missing_frame_is_variable() {
        let mut times = at(30.0, 300, 1.0 / 15_360.0);
        times.remove(150);
        let timing = fit(&times, 1.0 / 15_360.0, Some(rate("30/1")));
        assert!(timing.variable);
        assert_eq!(timing.rate, rate("30/1"));
    }

    #[test]
    fn the_start_is_kept() {
        let times: Vec<i64> = at(25.0, 50, 0.001).iter().map(|time| time + 1234).collect();
        assert!((fit(&times, 0.001, None).start - 1.234).abs() < 0.001);
        let one = fit(&[7], 0.001, Some(rate("25/1")));
        assert_eq!((one.rate, one.variable), (rate("25/1"), false));
    }
}
