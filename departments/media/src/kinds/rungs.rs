//! From the scores of encodes to the rungs of a ladder, and to the encodes that are worth making next.
//!
//! The trials are few, at rate factors far apart. Between them bytes and loss of a shot are guessed ([`between`]), so that a
//! rung can have any whole rate factor in any shot; the encodes that this asks for are made and measured like the trials
//! themselves. Where a curve bends between two trials the guess was wrong, so this is done once more with all that is known by
//! then, and fewer encodes. In the end rungs are chosen among mixtures of measured encodes alone ([`chosen`]): what a guess
//! missed is not taken, and nothing is reported that was not measured.

use std::collections::HashSet;

use backlot_work::{Outputs, TaskContext, TaskError};
use serde::{Deserialize, Serialize};

use super::{
    Tools, failed,
    make::{ShotGroup, ShotScores},
    measured::{Measured, Setting},
};
use crate::{
    encode::{Codec, EncodeRequest},
    plan::{Candidate, LadderRules, Metric, Offer, Size, between, equal_slope, pooled_point, select_rungs},
    probe::Probe,
};

/// More than a ladder can tell apart, few enough that choosing among them takes milliseconds for a film of any length.
const MIXTURES_OF_A_SIZE: usize = 96;
/// In the second round: a rate factor as near as this to one that is measured would tell nothing new.
const NEAR: u32 = 1;
/// In the second round: encodes of a codec for each of its shots. The guesses of the first round are good nearly everywhere.
const SECOND_ROUND_OF_A_SHOT: usize = 2;

/// A rung and what each of its shots is encoded with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PlannedRung {
    pub(super) codec: Codec,
    pub(super) size: Size,
    /// The rate factor of each shot.
    pub(super) crfs: Vec<u32>,
}

impl PlannedRung {
    /// What each shot is encoded with.
    pub(super) fn settings(&self) -> Vec<Setting> {
        self.crfs.iter().map(|&crf| Setting { codec: self.codec, size: self.size, crf }).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RungsInput {
    probe: Probe,
    /// The trials of each shot.
    groups: Vec<ShotGroup>,
    /// For each shot the scores of its trials, in the order of its group.
    scores: Vec<Vec<ShotScores>>,
    /// What the first round made; absent in the first round.
    #[serde(default)]
    rung_groups: Option<Vec<ShotGroup>>,
    #[serde(default)]
    rung_scores: Vec<Vec<ShotScores>>,
    metric: Metric,
    #[serde(default)]
    ladder: LadderRules,
    /// The most rungs for each codec.
    max_rungs: usize,
}

pub(super) async fn rungs_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: RungsInput = task.parse()?;
    let encodes = plan(&input)?;
    task.log(format!("the rungs need {} more encodes", encodes.len()));
    Outputs::new().value("encodes", &encodes)
}

/// Pure: scores in, the encodes worth making next out.
pub(super) fn plan(input: &RungsInput) -> Result<Vec<EncodeRequest>, TaskError> {
    let mut measured = Measured::new(input.metric, &input.groups, &input.scores)?;
    if let Some(groups) = &input.rung_groups {
        measured.add(groups, &input.rung_scores)?;
    }
    let is_second = input.rung_groups.is_some();
    let pattern = input.groups[0].encodes.first().ok_or_else(failed_without_trials)?.request;
    let rate = input.probe.rate.per_second();
    let mut encodes = Vec::new();
    for codec in measured.codecs() {
        let rungs = select(&measured, codec, rate, &input.ladder, input.max_rungs, Known::Between)?;
        let mut asked = HashSet::new();
        for rung in &rungs {
            for (shot, setting) in rung.settings().into_iter().enumerate() {
                if is_second && asked.len() >= SECOND_ROUND_OF_A_SHOT * measured.shots() {
                    break;
                }
                let known = measured.offers(shot, setting.codec, setting.size)?;
                let near = if is_second { NEAR } else { 0 };
                let tells_nothing = known.iter().any(|(crf, _)| crf.abs_diff(setting.crf) <= near);
                if !tells_nothing && asked.insert((shot, setting)) {
                    let Setting { codec, size, crf } = setting;
                    let shot = input.groups[shot].shot;
                    encodes.push(EncodeRequest { shot, size, codec, crf, ..pattern });
                }
            }
        }
    }
    // By shot, as they are measured.
    encodes.sort_by_key(|encode| encode.shot.start);
    Ok(encodes)
}

fn failed_without_trials() -> TaskError {
    TaskError::Permanent("a shot has no trial encode; run the encodes again".to_owned())
}

/// The rungs of a codec among mixtures of what was measured.
pub(super) fn chosen(
    measured: &Measured,
    codec: Codec,
    rate: f64,
    rules: &LadderRules,
    max_rungs: usize,
) -> Result<Vec<PlannedRung>, TaskError> {
    select(measured, codec, rate, rules, max_rungs, Known::Measured)
}

/// Which encodes may be in a mixture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Those that were measured.
    Measured,
    /// Those between them as well, as they are expected to turn out.
    Between,
}

fn select(
    measured: &Measured,
    codec: Codec,
    rate: f64,
    rules: &LadderRules,
    max_rungs: usize,
    known: Known,
) -> Result<Vec<PlannedRung>, TaskError> {
    let mixtures = mixtures(measured, codec, rate, known)?;
    let candidates: Vec<Candidate> = mixtures.iter().map(|(candidate, _)| *candidate).collect();
    let chosen =
        select_rungs(&candidates, measured.metric(), rules, max_rungs.clamp(1, 64)).map_err(failed)?;
    let rung = |index: usize| {
        let (candidate, crfs) = &mixtures[index];
        PlannedRung { codec, size: candidate.size, crfs: crfs.clone() }
    };
    Ok(chosen.into_iter().map(rung).collect())
}

/// The mixtures of one codec that are worth a rung: for each size those of equal slope, with the rate factor of each shot.
fn mixtures(
    measured: &Measured,
    codec: Codec,
    rate: f64,
    known: Known,
) -> Result<Vec<(Candidate, Vec<u32>)>, TaskError> {
    let frames = measured.frames()?;
    let mut mixtures = Vec::new();
    for size in measured.sizes(codec) {
        // For each shot its rate factors, and what is known or expected of each.
        let mut crfs: Vec<Vec<u32>> = Vec::with_capacity(measured.shots());
        let mut offers: Vec<Vec<Offer>> = Vec::with_capacity(measured.shots());
        for shot in 0..measured.shots() {
            let mut own = measured.offers(shot, codec, size)?;
            if known == Known::Between {
                own = between(&own).map_err(failed)?;
            }
            let (shot_crfs, shot_offers) = own.into_iter().unzip();
            crfs.push(shot_crfs);
            offers.push(shot_offers);
        }
        let walk = equal_slope(&offers).map_err(failed)?;
        for place in walk.spread(MIXTURES_OF_A_SIZE) {
            let (bytes, loss) = walk.totals()[place];
            let point = pooled_point(measured.metric(), bytes, loss, frames, rate);
            let choice = walk.choice(place);
            let chosen = choice.iter().zip(&crfs).map(|(&index, crfs)| crfs[index]).collect();
            mixtures.push((Candidate { size, point }, chosen));
        }
    }
    Ok(mixtures)
}
