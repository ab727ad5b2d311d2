//! All findings together: what is discovered, what moves together, what came first.

use serde::{Deserialize, Serialize};

use super::shape::likeness;
use super::{Change, Finding, Outcome, Question, Untested};
use crate::correlate::Peak;
use crate::significance::benjamini_yekutieli;

/// Signals whose shapes are this alike, one way up or the other, move together.
const TOGETHER: f64 = 0.9;

/// Changes with more than this share of the lookback between them belong to different incidents.
const GAP_SHARE: f64 = 0.2;

/// What a change outside the alert's incident counts.
const ELSEWHERE: f64 = 0.25;

/// The effect, in standard deviations, at which strength counts for 1 − 1/e: what is stronger is not more of a cause.
const STRONG: f64 = 1.0;

/// A cause is followed within this many points by what it moves; a coincidence is not.
const SOON: usize = 8;

/// So many followers count for 1 − 1/e.
const FOLLOWERS: f64 = 3.0;

/// Signals are compared with the leaders of this many clusters, those of the highest rank: with all of a hundred thousand signals that all changed in ways of their own, that would
/// be ten billion comparisons, and nobody reads a list of a thousand clusters.
const MOST_LEADERS: usize = 1000;

/// One discovered signal, in its place of the ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The candidate's place.
    pub candidate: usize,
    /// 0 to 1: early, strong and part of the alert's incident.
    pub score: f64,
    /// Its change.
    pub change: Change,
    /// Points from the alert's own change (or, without one, from the alert) to this one; negative before it.
    pub lag: i64,
    /// The least and greatest lag, from the intervals of both changes.
    pub lag_interval: (i64, i64),
    /// The least rate of false discoveries at which it is one.
    pub q: f64,
    /// The strongest correlation with the alert.
    pub correlation: Option<Peak>,
    /// Its cluster's place.
    pub cluster: usize,
    /// Whether nothing of the same incident surely changed before it.
    pub first_mover: bool,
    /// Whether its change belongs to the incident of the alert.
    pub in_incident: bool,
    /// The share of its variance that the season explained.
    pub season: f64,
}

/// Signals that moved together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The candidate that the others are like: the highest in rank.
    pub leader: usize,
    /// All of its candidates, in the order of rank.
    pub members: Vec<usize>,
    /// When the first of them changed.
    pub first: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conclusion {
    /// What was discovered, most explaining first.
    pub ranked: Vec<Explained>,
    /// Clusters, in the order of their leaders' rank.
    pub clusters: Vec<Cluster>,
    /// How many signals were tested.
    pub tested: usize,
    /// Signals that could not be tested, with the reason.
    pub untested: Vec<(usize, Untested)>,
}

/// Concludes from all findings, in whatever order they come. `own` is what the alert's own signal shows.
pub fn conclude(findings: &[Finding], own: &Outcome, question: &Question) -> Conclusion {
    let mut findings: Vec<&Finding> = findings.iter().collect();
    findings.sort_by_key(|finding| finding.candidate);
    let mut tested = Vec::new();
    let mut untested = Vec::new();
    for finding in findings {
        match &finding.outcome {
            Outcome::Untested(why) => untested.push((finding.candidate, *why)),
            Outcome::Tested { p, .. } => tested.push((finding, *p)),
        }
    }
    let p_values: Vec<f64> = tested.iter().map(|(_, p)| *p).collect();
    let rates = benjamini_yekutieli(&p_values);
    let origin = match own {
        Outcome::Tested { change: Some(change), .. } => (change.at, change.interval),
        _ => (question.alert, (question.alert, question.alert)),
    };
    let mut found: Vec<(Explained, &[f64])> = Vec::new();
    for ((finding, _), q) in tested.iter().zip(&rates) {
        let Outcome::Tested { change: Some(change), correlation, season, shape, .. } = &finding.outcome
        else {
            continue;
        };
        if *q > question.rate {
            continue;
        }
        let apart = |to: usize, from: usize| to as i64 - from as i64;
        let explained = Explained {
            candidate: finding.candidate,
            score: 0.0,
            lag: apart(change.at, origin.0),
            lag_interval: (apart(change.interval.0, origin.1.1), apart(change.interval.1, origin.1.0)),
            change: change.clone(),
            q: *q,
            correlation: *correlation,
            cluster: 0,
            first_mover: false,
            in_incident: false,
            season: *season,
        };
        found.push((explained, shape));
    }
    let is_before = |at: &usize| *at <= question.alert;
    let latest = found.iter().map(|(explained, _)| explained.change.at).filter(is_before).max();
    let anchor = match own {
        Outcome::Tested { change: Some(_), .. } => origin.0,
        // How long the alert took to fire is not known: what changed last before it is taken to be of its incident.
        _ => latest.unwrap_or(origin.0),
    };
    mark_incident(&mut found, anchor, question);
    score(&mut found);
    found.sort_by(|(a, _), (b, _)| {
        b.score.total_cmp(&a.score).then(a.change.at.cmp(&b.change.at)).then(a.candidate.cmp(&b.candidate))
    });
    let clusters = cluster(&mut found);
    let tested = tested.len();
    Conclusion {
        ranked: found.into_iter().map(|(explained, _)| explained).collect(),
        clusters,
        tested,
        untested,
    }
}

/// The incident of the alert: the changes that hang together with the one at `origin`, its own, without a gap that is long beside the lookback.
fn mark_incident(found: &mut [(Explained, &[f64])], origin: usize, question: &Question) {
    let gap = ((question.before as f64 * GAP_SHARE) as usize).max(question.min_size + 1);
    let mut times: Vec<usize> = found.iter().map(|(explained, _)| explained.change.at).collect();
    times.push(origin);
    times.sort_unstable();
    let (mut first, mut last) = (origin, origin);
    for &time in times.iter().rev().filter(|&&time| time <= origin) {
        if first - time <= gap {
            first = time;
        }
    }
    for &time in times.iter().filter(|&&time| time >= origin) {
        if time - last <= gap {
            last = time;
        }
    }
    for (explained, _) in found.iter_mut() {
        explained.in_incident = (first..=last).contains(&explained.change.at);
    }
    let inside = || found.iter().filter(|(explained, _)| explained.in_incident);
    let earliest_end = inside().map(|(explained, _)| explained.change.interval.1).min();
    for (explained, _) in found.iter_mut() {
        explained.first_mover =
            explained.in_incident && earliest_end.is_some_and(|end| explained.change.interval.0 <= end);
    }
}

/// Early: the share of the incident that changed after it. Strong: its effect. Followed: by others soon after. All three, and less
/// outside of the incident.
fn score(found: &mut [(Explained, &[f64])]) {
    let mut times: Vec<usize> = found
        .iter()
        .filter(|(explained, _)| explained.in_incident)
        .map(|(explained, _)| explained.change.at)
        .collect();
    times.sort_unstable();
    let count = times.len().max(1) as f64;
    for (explained, _) in found.iter_mut() {
        let at = explained.change.at;
        let after = times.len() - times.partition_point(|&time| time <= at);
        let beside = times.partition_point(|&time| time <= at) - times.partition_point(|&time| time < at);
        let early = (after as f64 + 0.5 * beside as f64) / count;
        let strong = 1.0 - libm::exp(-explained.change.effect.abs() / STRONG);
        let soon =
            times.partition_point(|&time| time <= at + SOON) - times.partition_point(|&time| time <= at);
        let followed = 1.0 - libm::exp(-(soon as f64) / FOLLOWERS);
        let place = if explained.in_incident { 1.0 } else { ELSEWHERE };
        explained.score = place * early * early * strong * (0.5 + 0.5 * followed);
    }
}

/// Each signal joins the first of [`MOST_LEADERS`] leaders that it is like, or leads.
fn cluster(found: &mut [(Explained, &[f64])]) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut leaders: Vec<&[f64]> = Vec::new();
    for (explained, shape) in found.iter_mut() {
        let shape: &[f64] = shape;
        let joined = leaders.iter().position(|leader| likeness(leader, shape).abs() >= TOGETHER);
        let place = joined.unwrap_or(clusters.len());
        if joined.is_none() {
            if leaders.len() < MOST_LEADERS {
                leaders.push(shape);
            }
            clusters.push(Cluster {
                leader: explained.candidate,
                members: Vec::new(),
                first: explained.change.at,
            });
        }
        explained.cluster = place;
        clusters[place].members.push(explained.candidate);
        clusters[place].first = clusters[place].first.min(explained.change.at);
    }
    clusters
}
