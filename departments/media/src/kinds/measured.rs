//! The encodes of a title's shots and what was measured of them.

use std::collections::HashMap;

use backlot_work::{BlobRef, TaskError};
use serde::{Deserialize, Serialize};

use super::make::{ShotGroup, ShotScores};
use crate::{
    encode::{Codec, EncodeRequest},
    plan::{RateQuality, ShotScore, Size, pooled_point},
};

/// What tells the encodes of a shot apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) codec: Codec,
    pub(super) size: Size,
    pub(super) crf: u32,
}

impl From<EncodeRequest> for Setting {
    fn from(request: EncodeRequest) -> Self {
        Self { codec: request.codec, size: request.size, crf: request.crf }
    }
}

/// An encode of a shot.
#[derive(Clone, Debug)]
pub(super) struct Encode {
    pub(super) file: BlobRef,
    pub(super) score: ShotScore,
    ssim: f64,
}

/// The encodes of every shot, in the order of the shots.
pub(super) struct Measured(Vec<HashMap<Setting, Encode>>);

/// A whole title, with one encode of each shot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    /// Bits per second and PSNR in dB.
    pub(super) point: RateQuality,
    /// 0 to 1.
    pub(super) ssim: f64,
}

fn uneven() -> TaskError {
    TaskError::Permanent("the shots were not all encoded alike; run the encodes again".to_owned())
}

impl Measured {
    /// Takes groups of encodes, one for each shot, and the scores of each group in its order.
    pub(super) fn new(groups: &[ShotGroup], scores: &[Vec<ShotScores>]) -> Result<Self, TaskError> {
        if groups.is_empty() {
            return Err(uneven());
        }
        let mut measured = Self(vec![HashMap::new(); groups.len()]);
        measured.add(groups, scores)?;
        Ok(measured)
    }

    /// Takes more encodes of the same shots.
    pub(super) fn add(&mut self, groups: &[ShotGroup], scores: &[Vec<ShotScores>]) -> Result<(), TaskError> {
        if groups.len() != self.0.len() || scores.len() != groups.len() {
            return Err(uneven());
        }
        for ((encodes, group), scores) in self.0.iter_mut().zip(groups).zip(scores) {
            if group.encodes.len() != scores.len() {
                return Err(uneven());
            }
            for (encode, score) in group.encodes.iter().zip(scores) {
                let measured = ShotScore { frames: score.frames, bytes: encode.bytes, psnr: score.psnr };
                let known = Encode { file: encode.file.clone(), score: measured, ssim: score.ssim };
                encodes.insert(encode.request.into(), known);
            }
        }
        Ok(())
    }

    /// How many shots there are.
    pub(super) fn shots(&self) -> usize {
        self.0.len()
    }

    /// One encode.
    pub(super) fn get(&self, shot: usize, setting: Setting) -> Result<&Encode, TaskError> {
        self.0[shot].get(&setting).ok_or_else(uneven)
    }

    /// The title when its shots have these encodes, one for each. `rate` is in frames per second.
    pub(super) fn whole(&self, settings: &[Setting], rate: f64) -> Result<Whole, TaskError> {
        if settings.len() != self.0.len() {
            return Err(uneven());
        }
        let (mut frames, mut bytes, mut loss, mut ssim) = (0, 0, 0.0, 0.0);
        for (shot, &setting) in settings.iter().enumerate() {
            let encode = self.get(shot, setting)?;
            frames += encode.score.frames;
            bytes += encode.score.bytes;
            loss += encode.score.loss();
            ssim += encode.ssim * encode.score.frames as f64;
        }
        if frames == 0 {
            return Err(uneven());
        }
        let point = pooled_point(bytes, loss, frames, rate);
        Ok(Whole { point, ssim: ssim / frames as f64 })
    }
}
