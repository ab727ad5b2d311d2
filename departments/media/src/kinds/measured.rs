//! The encodes of a title's shots and what was measured of them.

use std::collections::{HashMap, HashSet};

use backlot_work::{BlobRef, TaskError};
use serde::{Deserialize, Serialize};

use super::make::{ShotGroup, ShotScores};
use crate::{
    encode::{Codec, EncodeRequest},
    plan::{Metric, Offer, RateQuality, Size, pooled_point},
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

/// An encode of a shot, as measured.
#[derive(Clone, Debug)]
pub(super) struct Encode {
    pub(super) file: BlobRef,
    pub(super) frames: u64,
    bytes: u64,
    psnr: f64,
    ssim: f64,
    vmaf: Option<f64>,
}

/// The encodes of every shot, in the order of the shots.
pub(super) struct Measured {
    metric: Metric,
    shots: Vec<HashMap<Setting, Encode>>,
}

/// A whole title, with one encode of each shot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    /// Bits per second, and the quality in the metric that the ladder goes by.
    pub(super) point: RateQuality,
    /// In dB.
    pub(super) psnr: f64,
    /// 0 to 1.
    pub(super) ssim: f64,
    /// 0 to 100; `None` where it was not measured.
    pub(super) vmaf: Option<f64>,
}

fn uneven() -> TaskError {
    TaskError::Permanent("the shots were not all encoded alike; run the encodes again".to_owned())
}

impl Measured {
    /// Takes the trials: groups of encodes, one for each shot and all of the same settings, and the scores of each group in its
    /// order.
    pub(super) fn new(
        metric: Metric,
        groups: &[ShotGroup],
        scores: &[Vec<ShotScores>],
    ) -> Result<Self, TaskError> {
        if groups.is_empty() {
            return Err(uneven());
        }
        let mut measured = Self { metric, shots: vec![HashMap::new(); groups.len()] };
        measured.add(groups, scores)?;
        let first: HashSet<&Setting> = measured.shots[0].keys().collect();
        if measured.shots.iter().any(|shot| shot.keys().collect::<HashSet<_>>() != first) {
            return Err(uneven());
        }
        Ok(measured)
    }

    /// The metric that the ladder goes by.
    pub(super) fn metric(&self) -> Metric {
        self.metric
    }

    /// The codecs that were tried.
    pub(super) fn codecs(&self) -> Vec<Codec> {
        let mut codecs: Vec<Codec> = self.shots[0].keys().map(|setting| setting.codec).collect();
        codecs.sort_unstable();
        codecs.dedup();
        codecs
    }

    /// The sizes that a codec was tried at, by rising area.
    pub(super) fn sizes(&self, codec: Codec) -> Vec<Size> {
        let own = self.shots[0].keys().filter(|setting| setting.codec == codec);
        let mut sizes: Vec<Size> = own.map(|setting| setting.size).collect();
        sizes.sort_unstable_by_key(|size| (size.area(), *size));
        sizes.dedup();
        sizes
    }

    /// Takes more encodes of the same shots.
    pub(super) fn add(&mut self, groups: &[ShotGroup], scores: &[Vec<ShotScores>]) -> Result<(), TaskError> {
        if groups.len() != self.shots.len() || scores.len() != groups.len() {
            return Err(uneven());
        }
        for ((encodes, group), scores) in self.shots.iter_mut().zip(groups).zip(scores) {
            if group.encodes.len() != scores.len() {
                return Err(uneven());
            }
            for (encode, score) in group.encodes.iter().zip(scores) {
                let known = Encode {
                    file: encode.file.clone(),
                    frames: score.frames,
                    bytes: encode.bytes,
                    psnr: score.psnr,
                    ssim: score.ssim,
                    vmaf: score.vmaf,
                };
                encodes.insert(encode.request.into(), known);
            }
        }
        Ok(())
    }

    /// The rate factors that a shot has been encoded with at one size, and what came of each.
    pub(super) fn offers(
        &self,
        shot: usize,
        codec: Codec,
        size: Size,
    ) -> Result<Vec<(u32, Offer)>, TaskError> {
        let own =
            self.shots[shot].iter().filter(|(setting, _)| setting.codec == codec && setting.size == size);
        let mut offers = own
            .map(|(setting, encode)| {
                Ok((setting.crf, Offer { bytes: encode.bytes, loss: self.loss(encode)? }))
            })
            .collect::<Result<Vec<_>, TaskError>>()?;
        offers.sort_by_key(|(crf, _)| *crf);
        Ok(offers)
    }

    /// Frames of all shots together.
    pub(super) fn frames(&self) -> Result<u64, TaskError> {
        self.shots
            .iter()
            .map(|encodes| encodes.values().next().map(|encode| encode.frames).ok_or_else(uneven))
            .sum()
    }

    /// How many shots there are.
    pub(super) fn shots(&self) -> usize {
        self.shots.len()
    }

    /// One encode.
    pub(super) fn get(&self, shot: usize, setting: Setting) -> Result<&Encode, TaskError> {
        self.shots[shot].get(&setting).ok_or_else(uneven)
    }

    /// The sum of what its frames lose.
    fn loss(&self, encode: &Encode) -> Result<f64, TaskError> {
        let quality = match self.metric {
            Metric::Psnr => encode.psnr,
            Metric::Vmaf => encode.vmaf.ok_or_else(uneven)?,
        };
        Ok(self.metric.loss(quality) * encode.frames as f64)
    }

    /// The title when its shots have these encodes, one for each. `rate` is in frames per second.
    pub(super) fn whole(&self, settings: &[Setting], rate: f64) -> Result<Whole, TaskError> {
        if settings.len() != self.shots.len() {
            return Err(uneven());
        }
        let (mut frames, mut bytes, mut loss, mut ssim, mut error) = (0, 0, 0.0, 0.0, 0.0);
        let mut vmaf = Some(0.0);
        for (shot, &setting) in settings.iter().enumerate() {
            let encode = self.get(shot, setting)?;
            frames += encode.frames;
            bytes += encode.bytes;
            loss += self.loss(encode)?;
            error += Metric::Psnr.loss(encode.psnr) * encode.frames as f64;
            ssim += encode.ssim * encode.frames as f64;
            vmaf = vmaf.zip(encode.vmaf).map(|(sum, own)| sum + own * encode.frames as f64);
        }
        if frames == 0 {
            return Err(uneven());
        }
        Ok(Whole {
            point: pooled_point(self.metric, bytes, loss, frames, rate),
            psnr: Metric::Psnr.quality(error / frames as f64),
            ssim: ssim / frames as f64,
            vmaf: vmaf.map(|sum| sum / frames as f64),
        })
    }
}
