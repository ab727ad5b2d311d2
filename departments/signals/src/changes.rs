//! Where signals of a table change, each by itself: no alert, no ranking.

use std::num::NonZeroUsize;

use backlot_signals_kernels::cost::Model;
use backlot_signals_kernels::{Detection, Penalty, changes_of_rows};
use serde::{Deserialize, Serialize};

use crate::explanation::CHUNK;
use crate::progress::Progress;
use crate::question::show_time;
use crate::{Error, Table};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangesAsked {
    /// Only this signal; all unless given.
    pub signal: Option<String>,
    /// The cost: l2, l1, normal, …
    pub model: String,
    /// The fewest points of a segment.
    pub min_size: usize,
    /// What a change point must gain; chosen from the noise unless given.
    pub penalty: Option<f64>,
}

impl Default for ChangesAsked {
    fn default() -> Self {
        Self { signal: None, model: "l2".to_owned(), min_size: Detection::default().min_size, penalty: None }
    }
}

/// The change points of one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalChanges {
    /// Its name.
    pub signal: String,
    /// Its change points, in order.
    pub changes: Vec<ChangePoint>,
    /// What each had to gain; absent where there is no answer.
    pub penalty: Option<f64>,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// A change point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangePoint {
    /// The first point after it, from 0.
    pub point: usize,
    /// Its time.
    pub at: String,
    /// How early it may be: the begin of the gap before it, or the point itself.
    pub earliest: String,
}

/// The change points of each signal, or why a signal has no answer; on so many threads, on whose number the answer does not depend.
///
/// # Errors
/// A cost or a signal that there is not, a size or penalty that is none.
pub fn find(
    table: &Table,
    asked: &ChangesAsked,
    threads: NonZeroUsize,
    progress: &Progress,
) -> Result<Vec<SignalChanges>, Error> {
    let model = Model::named(&asked.model).ok_or_else(|| {
        Error::Parameter(format!("there is no cost `{}`; there are {}", asked.model, Model::NAMES.join(", ")))
    })?;
    if asked.min_size == 0 || asked.penalty.is_some_and(|penalty| !(penalty >= 0.0 && penalty.is_finite())) {
        return Err(Error::Parameter(
            "a segment needs at least one point and a penalty is not negative; correct them".to_owned(),
        ));
    }
    let places = match &asked.signal {
        Some(name) => {
            let place = table.header.place(name)?;
            place..place + 1
        }
        None => 0..table.signals.len(),
    };
    let detection = Detection {
        model,
        min_size: asked.min_size,
        penalty: asked.penalty.map_or(Penalty::Auto, Penalty::Fixed),
    };
    let time = |point: usize| show_time(table.header.time_ms(point));
    progress.begin(places.len());
    let mut answers = Vec::with_capacity(places.len());
    for places in places.clone().step_by(CHUNK).map(|start| start..(start + CHUNK).min(places.end)) {
        let rows: Vec<&[f64]> = table.signals[places.clone()].iter().map(Vec::as_slice).collect();
        answers.extend(changes_of_rows(&rows, &detection, threads));
        progress.add(places.len());
    }
    let found = places.zip(answers).map(|(place, answer)| {
        let signal = table.header.names[place].clone();
        match answer {
            Ok(found) => {
                let inner = found.ends.iter().zip(&found.earliest);
                let change = |(&point, &earliest): (&usize, &usize)| ChangePoint {
                    point,
                    at: time(point),
                    earliest: time(earliest),
                };
                SignalChanges {
                    signal,
                    changes: inner.map(change).collect(),
                    penalty: Some(found.penalty),
                    error: None,
                }
            }
            Err(error) => {
                SignalChanges { signal, changes: Vec::new(), penalty: None, error: Some(error.to_string()) }
            }
        }
    });
    Ok(found.collect())
}

/// Change points for people.
pub fn text(found: &[SignalChanges]) -> String {
    let mut text = String::new();
    for one in found {
        match &one.error {
            Some(error) => text += &format!("{}  {error}\n", one.signal),
            None if one.changes.is_empty() => text += &format!("{}  does not change\n", one.signal),
            None => {
                for change in &one.changes {
                    let earliest = if change.earliest == change.at {
                        String::new()
                    } else {
                        format!(", {} at the earliest", change.earliest)
                    };
                    text += &format!("{}  {} (point {}{earliest})\n", one.signal, change.at, change.point);
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(table: &Table, asked: &ChangesAsked) -> Result<Vec<SignalChanges>, Error> {
        find(table, asked, NonZeroUsize::MIN, &Progress::default())
    }

    #[test]
    fn the_step_is_where_it_is_and_odd_signals_are_named() {
        let step: Vec<f64> = (0..63).map(|point| if point < 33 { 0.0 } else { 5.0 }).collect();
        let mut gap = step.clone();
        gap[30..34].fill(f64::NAN);
        let mut infinite = step.clone();
        infinite[7] = f64::INFINITY;
        let names = ["step", "gap", "infinite", "constant", "missing"].map(str::to_owned).to_vec();
        let table =
            Table::new(0, 60_000, names, vec![step, gap, infinite, vec![1.0; 63], vec![f64::NAN; 63]])
                .unwrap();
        let found = all(&table, &ChangesAsked::default()).unwrap();
        let points =
            |place: usize| found[place].changes.iter().map(|change| change.point).collect::<Vec<_>>();
        assert_eq!((points(0), points(1), points(3)), (vec![33], vec![34], vec![]));
        assert_eq!(
            (found[0].changes[0].at.as_str(), found[1].changes[0].earliest.as_str()),
            ("1970-01-01T00:33:00Z", "1970-01-01T00:30:00Z")
        );
        assert!(found[2].error.as_ref().unwrap().contains("point 7 is inf"), "{:?}", found[2]);
        assert!(found[4].error.as_ref().unwrap().contains("too few"), "{:?}", found[4]);
        assert!(text(&found).contains("step  1970-01-01T00:33:00Z (point 33)"), "{}", text(&found));
        let only = ChangesAsked { signal: Some("gap".into()), ..ChangesAsked::default() };
        assert_eq!(all(&table, &only).unwrap().len(), 1);
        for wrong in [
            ChangesAsked { model: "l3".into(), ..ChangesAsked::default() },
            ChangesAsked { min_size: 0, ..ChangesAsked::default() },
            ChangesAsked { penalty: Some(f64::NAN), ..ChangesAsked::default() },
            ChangesAsked { signal: Some("nobody".into()), ..ChangesAsked::default() },
        ] {
            assert!(all(&table, &wrong).is_err(), "{wrong:?}");
        }
    }
}
