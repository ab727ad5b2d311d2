//! Change points of a signal as it comes: with gaps, and with a penalty chosen from its noise.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cost::{Cost, MAX_KERNEL_POINTS, Model};
use crate::penalty::Noise;
use crate::segment::{Grid, functional, pelt};
use crate::{Error, Observed, Signal};

/// How much a change point must gain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Penalty {
    /// From the noise of the signal ([`Noise::penalty`]). The model must be [`Model::L2`], whose gains are on that scale; for another it is
    /// log n for each of the model's two or three parameters, as the Bayesian information criterion has it.
    #[default]
    Auto,
    /// This much.
    Fixed(f64),
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// How segments are described.
    pub model: Model,
    /// The fewest observed points of a segment.
    pub min_size: usize,
    /// How much a change point must gain.
    pub penalty: Penalty,
}

impl Default for Detection {
    /// Levels, in segments of at least two points.
    fn default() -> Self {
        Self { model: Model::L2, min_size: 2, penalty: Penalty::Auto }
    }
}

/// Where a signal changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The ends of segments in the signal as given, gaps included; the last is the number of points.
    pub ends: Vec<usize>,
    /// For each change point, how early it may lie for want of points before it: the first place of the gap, or the change point itself.
    pub earliest: Vec<usize>,
    /// The penalty used.
    pub penalty: f64,
    /// The noise, where the penalty was chosen from it.
    pub noise: Option<Noise>,
}

/// Change points of a signal of one dimension, in which NaN is a missing point.
///
/// Missing points carry no weight and count for no segment's size; a constant signal has no change point; equal values need no special
/// care; an infinite value, or fewer observed points than one segment has, is an error.
///
/// # Errors
/// [`Error::Infinite`], [`Error::TooShort`], those of the model.
pub fn changes(values: &[f64], detection: &Detection) -> Result<Changes, Error> {
    let observed = Observed::of(values)?;
    let points = observed.values.len();
    let is_level = detection.model == Model::L2;
    let noise = (detection.penalty == Penalty::Auto && is_level).then(|| Noise::of(&observed.values));
    let penalty = match (detection.penalty, noise) {
        (Penalty::Fixed(penalty), _) => penalty,
        (Penalty::Auto, Some(noise)) => noise.penalty(&observed.values),
        // Levels and spreads: a mean, a spread and a place for each segment.
        (Penalty::Auto, None) => 3.0 * libm::log(points.max(2) as f64),
    };
    let short = |needed: usize| Error::TooShort { points, needed };
    let found = if is_level {
        if points < detection.min_size.max(1) {
            return Err(short(detection.min_size.max(1)));
        }
        functional(&observed.values, detection.min_size, penalty)?
    } else {
        let signal = Signal::scalar(&observed.values)?;
        let cost = detection.model.fit(&signal)?;
        let min_size = detection.min_size.max(cost.min_size());
        if points < min_size {
            return Err(short(min_size));
        }
        pelt(&cost, Grid::every(min_size), penalty)?
    };
    let (inner, _) = found.split_at(found.len() - 1);
    let mut ends: Vec<usize> = inner.iter().map(|&end| observed.place(end)).collect();
    let earliest = inner.iter().map(|&end| observed.before(end)).collect();
    ends.push(values.len());
    Ok(Changes { ends, earliest, penalty, noise })
}

/// Memory for the tables of kernel costs: two of the longest signals that there are.
const MOST_TABLE_BYTES: usize = 1 << 30;

/// [`changes`] of each row, on so many threads, on whose number the answers do not depend; on fewer where a kernel's cost takes much memory for each.
pub fn changes_of_rows(
    rows: &[&[f64]],
    detection: &Detection,
    threads: NonZeroUsize,
) -> Vec<Result<Changes, Error>> {
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0).min(MAX_KERNEL_POINTS);
    let at_once = match detection.model {
        Model::Rbf { .. } | Model::Cosine => MOST_TABLE_BYTES / (size_of::<f64>() * longest.max(1).pow(2)),
        _ => usize::MAX,
    };
    let threads = threads.get().min(rows.len()).min(at_once).max(1);
    let next = AtomicUsize::new(0);
    // Signals take unequal time, so each thread takes the next row when it has done one.
    let run = || {
        let mut done = Vec::new();
        loop {
            let row = next.fetch_add(1, Ordering::Relaxed);
            let Some(values) = rows.get(row) else { return done };
            done.push((row, changes(values, detection)));
        }
    };
    let mut found = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut found = run();
        for helper in helpers {
            found.extend(helper.join().expect("invariant: kernels do not panic"));
        }
        found
    });
    found.sort_by_key(|(row, _)| *row);
    found.into_iter().map(|(_, changes)| changes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn gaps_date_a_change_to_their_end() {
        let mut values = vec![0.0; 20];
        values.extend([f64::NAN; 5]);
        values.extend([7.0; 20]);
        values[3] = f64::NAN;
        let found = changes(&values, &Detection::default()).unwrap();
        assert_eq!((found.ends, found.earliest), (vec![25, 45], vec![20]));
    }

    #[test]
    fn rows_are_cut_as_they_are_alone() {
        let rows: Vec<Vec<f64>> =
            (0..7).map(|k| (0..40).map(|t| f64::from(u8::from(t > 10 + k))).collect()).collect();
        let mut rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        rows.push(&[f64::INFINITY]);
        let usual = Detection::default();
        let alone: Vec<_> = rows.iter().map(|row| changes(row, &usual)).collect();
        for threads in [1, 2, 5] {
            assert_eq!(changes_of_rows(&rows, &usual, NonZeroUsize::new(threads).unwrap()), alone);
        }
    }

    #[test]
    fn odd_input_has_an_answer_or_an_error() {
        let usual = Detection::default();
        assert_eq!(changes(&[4.0; 50], &usual).unwrap().ends, [50]);
        assert_eq!(changes(&[], &usual), Err(Error::TooShort { points: 0, needed: 2 }));
        assert_eq!(changes(&[f64::NAN; 9], &usual), Err(Error::TooShort { points: 0, needed: 2 }));
        assert_eq!(
            changes(&[0.0, f64::INFINITY, 1.0], &usual),
            Err(Error::Infinite { index: 1, value: f64::INFINITY })
        );
        let ties: Vec<f64> = (0..60).map(|index| f64::from(u8::from(index >= 30))).collect();
        for name in ["l1", "l2", "rank"] {
            let model = Model::named(name).unwrap();
            let found = changes(&ties, &Detection { model, penalty: Penalty::Fixed(0.5), ..usual.clone() });
            assert_eq!(found.unwrap().ends, [30, 60], "{name}");
        }
    }

    #[test]
    fn the_automatic_penalty_leaves_noise_alone_and_finds_steps() {
        let mut false_changes = 0;
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let strength = [0.0, 0.5, 0.8][seed as usize % 3];
            let scale = libm::exp(10.0 * random.even() - 5.0);
            let mut past = 0.0;
            let noise: Vec<f64> = (0..500)
                .map(|_| {
                    past = strength * past + random.normal();
                    scale * past
                })
                .collect();
            false_changes += changes(&noise, &Detection::default()).unwrap().ends.len() - 1;
            if strength == 0.0 {
                let stepped: Vec<f64> = noise
                    .iter()
                    .enumerate()
                    .map(|(i, value)| value + if i < 250 { 0.0 } else { 3.0 * scale })
                    .collect();
                let found = changes(&stepped, &Detection::default()).unwrap().ends;
                assert!(found.iter().any(|end| end.abs_diff(250) <= 4), "seed {seed}: {found:?}");
            }
        }
        // One in a hundred of the 200 signals would be 2; noise of coefficient 0.8 brings most of them.
        assert!(false_changes <= 10, "{false_changes} change points in pure noise");
    }
}
