//! From the scores of the trials to the rungs and what each of their shots is encoded with.
//!
//! The trials are few, at rate factors far apart. Between them bytes and error of a shot are guessed ([`between`]), so that a
//! rung can have any whole rate factor in any shot; the encodes that this asks for are made and measured like the trials
//! themselves, and only what was measured is reported.

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
    plan::{Candidate, LadderRules, Metric, Offer, Size, between, equal_slope, pooled_point, select_ladder},
    probe::Probe,
};

/// More than a ladder can tell apart, few enough that choosing among them takes milliseconds for a film of any length.
const MIXTURES_OF_A_SIZE: usize = 96;

/// A rung before it is encoded.
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
    groups: Vec<ShotGroup>,
    /// For each shot the scores of its encodes, in the order of its group.
    scores: Vec<Vec<ShotScores>>,
    metric: Metric,
    #[serde(default)]
    ladder: LadderRules,
    /// The most rungs for each codec.
    max_rungs: usize,
}

pub(super) async fn rungs_kind(task: &TaskContext, _tools: &Tools) -> Result<Outputs, TaskError> {
    let input: RungsInput = task.parse()?;
    let (rungs, encodes) = plan(&input)?;
    task.log(format!("{} rungs need {} more encodes", rungs.len(), encodes.len()));
    Outputs::new().value("rungs", &rungs)?.value("encodes", &encodes)
}

/// Pure: scores of trials in, rungs and the encodes that they need beyond the trials out.
pub(super) fn plan(input: &RungsInput) -> Result<(Vec<PlannedRung>, Vec<EncodeRequest>), TaskError> {
    let measured = Measured::new(input.metric, &input.groups, &input.scores)?;
    let trials: Vec<EncodeRequest> = input.groups[0].encodes.iter().map(|encode| encode.request).collect();
    let mut codecs: Vec<Codec> = trials.iter().map(|trial| trial.codec).collect();
    codecs.sort_unstable();
    codecs.dedup();
    let options = input.ladder.options(input.metric, input.max_rungs.clamp(1, 64));
    let mut rungs = Vec::new();
    for &codec in &codecs {
        let settings: Vec<Setting> =
            trials.iter().filter(|trial| trial.codec == codec).map(|&trial| trial.into()).collect();
        let mixtures = mixtures(&measured, input.metric, &settings, input.probe.rate.per_second())?;
        let candidates: Vec<Candidate> = mixtures.iter().map(|(candidate, _)| *candidate).collect();
        for index in select_ladder(&candidates, &options).map_err(failed)? {
            let (candidate, crfs) = &mixtures[index];
            rungs.push(PlannedRung { codec, size: candidate.size, crfs: crfs.clone() });
        }
    }
    let mut encodes = Vec::new();
    for (shot, group) in input.groups.iter().enumerate() {
        let mut known: HashSet<Setting> = group.encodes.iter().map(|encode| encode.request.into()).collect();
        for rung in &rungs {
            let Setting { codec, size, crf } = rung.settings()[shot];
            if known.insert(Setting { codec, size, crf }) {
                encodes.push(EncodeRequest { shot: group.shot, codec, size, crf, ..trials[0] });
            }
        }
    }
    Ok((rungs, encodes))
}

/// The mixtures of one codec that are worth a rung, as they are expected to turn out: for each size those of equal slope, with
/// the rate factor of each shot.
fn mixtures(
    measured: &Measured,
    metric: Metric,
    settings: &[Setting],
    rate: f64,
) -> Result<Vec<(Candidate, Vec<u32>)>, TaskError> {
    let mut sizes: Vec<Size> = settings.iter().map(|setting| setting.size).collect();
    sizes.sort_by_key(|size| size.area());
    sizes.dedup();
    let mut mixtures = Vec::new();
    for size in sizes {
        let own: Vec<Setting> = settings.iter().copied().filter(|setting| setting.size == size).collect();
        let mut frames = 0;
        // For each shot its rate factors, and what is expected of each.
        let mut crfs: Vec<Vec<u32>> = Vec::with_capacity(measured.shots());
        let mut offers: Vec<Vec<Offer>> = Vec::with_capacity(measured.shots());
        for shot in 0..measured.shots() {
            let mut trials = Vec::with_capacity(own.len());
            for &setting in &own {
                trials.push((setting.crf, measured.offer(shot, setting)?));
            }
            frames += measured.get(shot, own[0])?.frames;
            let (shot_crfs, shot_offers) = between(&trials).map_err(failed)?.into_iter().unzip();
            crfs.push(shot_crfs);
            offers.push(shot_offers);
        }
        let walk = equal_slope(&offers).map_err(failed)?;
        for place in walk.spread(MIXTURES_OF_A_SIZE) {
            let (bytes, loss) = walk.totals()[place];
            let point = pooled_point(metric, bytes, loss, frames, rate);
            let choice = walk.choice(place);
            let chosen = choice.iter().zip(&crfs).map(|(&index, crfs)| crfs[index]).collect();
            mixtures.push((Candidate { size, point }, chosen));
        }
    }
    Ok(mixtures)
}
