//! The explanation as people and programs read it, and how it is come by on this machine.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use backlot_signals_kernels::explain::{
    Conclusion, Explained, Finding, Outcome, Question, Reference, Untested, conclude,
};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::progress::Progress;
use crate::question::{Asked, show_time};
use crate::table::{Header, Table};

/// Signals of one task: about a tenth of a second's work, so that a hundred thousand signals are four hundred tasks, and the same whoever does them.
pub const CHUNK: usize = 256;

/// Which signals explain an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The alert.
    pub alert: Alert,
    /// What was asked, in points.
    pub question: Question,
    /// Seconds from point to point.
    pub step_seconds: f64,
    /// Candidates that were tested.
    pub tested: usize,
    /// The share of false discoveries in the timeline, at most.
    pub rate: f64,
    /// What changed, most explaining first.
    pub timeline: Vec<Entry>,
    /// What moved together.
    pub clusters: Vec<Group>,
    /// Candidates that could not be tested.
    pub untested: Vec<Skipped>,
    /// What was done to the table.
    pub notes: Vec<String>,
}

/// The alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its signal.
    pub signal: String,
    /// When it fired.
    pub fired: String,
    /// When its own signal changed, if it did.
    pub changed: Option<String>,
}

/// One signal that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub signal: String,
    /// 0 to 1: early, strong, followed by others, part of the alert's incident.
    pub score: f64,
    /// When it changed.
    pub changed: String,
    /// When it may have changed instead (95 percent).
    pub interval: (String, String),
    /// From the alert's own change to this one; negative before it.
    pub lag_seconds: f64,
    /// The same from the intervals of both.
    pub lag_interval_seconds: (f64, f64),
    /// The shift in standard deviations of its noise.
    pub effect: f64,
    /// The level before.
    pub before: f64,
    /// The level after.
    pub after: f64,
    /// The shift as a share of the level before; absent for a level of 0.
    pub change_percent: Option<f64>,
    /// The least rate of false discoveries at which this is one.
    pub q: f64,
    /// How its moves correlate with the alert's.
    pub correlation: Option<Correlation>,
    /// The place of its cluster.
    pub cluster: usize,
    /// Whether nothing of the incident surely changed before it.
    pub first_mover: bool,
    /// Whether it belongs to the incident of the alert.
    pub in_incident: bool,
    /// The share of its variance that the season explained.
    pub season: f64,
}

/// A correlation over lags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    /// −1 to 1.
    pub r: f64,
    /// Positive when this signal follows the alert's.
    pub lag_seconds: f64,
    /// Lags that cannot be told from it.
    pub lag_interval_seconds: (f64, f64),
    /// The chance of so strong a one at any lag between unrelated signals.
    pub p: f64,
}

/// Signals that moved together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The first in the ranking.
    pub leader: String,
    /// All of them.
    pub members: Vec<String>,
    /// When the first of them changed.
    pub first: String,
}

/// A signal that was not tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub signal: String,
    /// Why.
    pub reason: Untested,
}

/// The candidates of each task; the alert's own signal is none.
pub fn chunks(candidates: usize) -> Vec<Range<usize>> {
    (0..candidates).step_by(CHUNK).map(|start| start..(start + CHUNK).min(candidates)).collect()
}

/// Examines the signals at `places`, of which `signals` holds the values.
///
/// # Errors
/// Signals of another length than the alert's.
pub fn examine(
    reference: &Reference,
    alert: usize,
    places: Range<usize>,
    signals: &[Vec<f64>],
) -> Result<Vec<Finding>, Error> {
    let candidates = places.zip(signals).filter(|(place, _)| *place != alert);
    candidates.map(|(place, values)| Ok(reference.examine(place, values)?)).collect()
}

/// Explains with so many threads. The answer does not depend on their number.
///
/// # Errors
/// No such signal, a question that cannot be answered.
pub fn explain(table: &Table, asked: &Asked, threads: NonZeroUsize) -> Result<Explanation, Error> {
    explain_counted(table, asked, threads, &Progress::default())
}

/// As [`explain`], counting the signals that are done with.
///
/// # Errors
/// As [`explain`].
pub fn explain_counted(
    table: &Table,
    asked: &Asked,
    threads: NonZeroUsize,
    progress: &Progress,
) -> Result<Explanation, Error> {
    progress.begin(table.signals.len());
    let alert = table.header.place(&asked.alert)?;
    let question = asked.question(&table.header)?;
    let reference = Reference::new(&table.signals[alert], question.clone())?;
    let chunks = chunks(table.signals.len());
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || -> Result<(), Error> {
        while let Some(places) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = examine(&reference, alert, places.clone(), &table.signals[places.clone()])?;
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(found);
            progress.add(places.len());
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> =
            (1..threads.get().min(chunks.len().max(1))).map(|_| scope.spawn(work)).collect();
        let own = work();
        let helped = helpers.into_iter().map(|helper| {
            helper.join().unwrap_or_else(|_| {
                Err(Error::Table("could not be examined: a thread ended early; please report this".into()))
            })
        });
        own.and(helped.collect::<Result<(), Error>>())
    })?;
    let findings = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Explanation::new(&table.header, alert, &question, &findings, reference.own()))
}

impl Explanation {
    /// Concludes from the findings, in whatever order, and names what they are about.
    pub fn new(
        header: &Header,
        alert: usize,
        question: &Question,
        findings: &[Finding],
        own: &Outcome,
    ) -> Self {
        let Conclusion { ranked, clusters, tested, untested } = conclude(findings, own, question);
        let time = |point: usize| show_time(header.time_ms(point));
        let name = |candidate: usize| header.names[candidate].clone();
        let own_change = match own {
            Outcome::Tested { change: Some(change), .. } => Some(time(change.at)),
            _ => None,
        };
        Self {
            alert: Alert { signal: name(alert), fired: time(question.alert), changed: own_change },
            question: question.clone(),
            step_seconds: header.step_ms as f64 / 1000.0,
            tested,
            rate: question.rate,
            timeline: ranked.iter().map(|explained| entry(header, explained)).collect(),
            clusters: clusters
                .iter()
                .map(|cluster| Group {
                    leader: name(cluster.leader),
                    members: cluster.members.iter().map(|&member| name(member)).collect(),
                    first: time(cluster.first),
                })
                .collect(),
            untested: untested
                .iter()
                .map(|(candidate, reason)| Skipped { signal: name(*candidate), reason: *reason })
                .collect(),
            notes: header.notes.clone(),
        }
    }

    /// What belongs to the alert's incident, in the order in which it happened.
    pub fn incident(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.timeline.iter().filter(|entry| entry.in_incident).collect();
        entries.sort_by(|a, b| a.lag_seconds.total_cmp(&b.lag_seconds).then(b.score.total_cmp(&a.score)));
        entries
    }

    /// The explanation as JSON: the same bytes for the same input.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("invariant: an explanation is plain JSON")
    }
}

fn entry(header: &Header, explained: &Explained) -> Entry {
    let time = |point: usize| show_time(header.time_ms(point));
    let seconds = |points: i64| points as f64 * header.step_ms as f64 / 1000.0;
    let change = &explained.change;
    Entry {
        signal: header.names[explained.candidate].clone(),
        score: explained.score,
        changed: time(change.at),
        interval: (time(change.interval.0), time(change.interval.1)),
        lag_seconds: seconds(explained.lag),
        lag_interval_seconds: (seconds(explained.lag_interval.0), seconds(explained.lag_interval.1)),
        effect: change.effect,
        before: change.before,
        after: change.after,
        change_percent: (change.before != 0.0)
            .then(|| 100.0 * (change.after - change.before) / change.before.abs()),
        q: explained.q,
        correlation: explained.correlation.map(|peak| Correlation {
            r: peak.r,
            lag_seconds: seconds(peak.lag),
            lag_interval_seconds: (seconds(peak.lag_interval.0), seconds(peak.lag_interval.1)),
            p: peak.p,
        }),
        cluster: explained.cluster,
        first_mover: explained.first_mover,
        in_incident: explained.in_incident,
        season: explained.season,
    }
}
