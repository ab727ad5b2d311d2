//! From the scores of a title's shots to its point on the rate-quality plane, and the sizes worth trying.

use serde::{Deserialize, Serialize};

use crate::plan::{FIXED_LADDER, MIN_SIDE, RateQuality, Size};

/// PSNR at which a lossless shot is entered: an infinite score cannot be averaged or drawn. It is above what eight-bit
/// rounding alone leaves (58.9 dB).
pub const QUALITY_CEILING_DB: f64 = 60.0;

/// What quality is measured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// PSNR over all planes, in dB.
    Psnr,
    /// VMAF, 0 to 100.
    Vmaf,
}

/// The least VMAF loss of a frame. Scores end at 100, so a loss of 0 says only that there is no telling; logarithms need more.
const LEAST_VMAF_LOSS: f64 = 0.01;

impl Metric {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Psnr => "PSNR",
            Self::Vmaf => "VMAF",
        }
    }

    /// Its name, with the unit where there is one.
    pub fn title(self) -> &'static str {
        match self {
            Self::Psnr => "PSNR (dB)",
            Self::Vmaf => "VMAF",
        }
    }

    /// What a frame of this quality loses: of PSNR the mean squared error in peaks squared, of VMAF what lacks from 100.
    /// Losses of frames may be added, so that a title's quality is that of its frames' mean loss: PSNR of the mean error, and
    /// the mean VMAF.
    pub fn loss(self, quality: f64) -> f64 {
        match self {
            Self::Psnr => 10_f64.powf(-quality / 10.0),
            Self::Vmaf => (100.0 - quality).max(LEAST_VMAF_LOSS),
        }
    }

    /// The quality of frames with this mean loss; PSNR is at most [`QUALITY_CEILING_DB`].
    pub fn quality(self, mean_loss: f64) -> f64 {
        match self {
            Self::Psnr => (-10.0 * mean_loss.log10()).min(QUALITY_CEILING_DB),
            Self::Vmaf => 100.0 - mean_loss,
        }
    }
}

/// One shot of one trial encode, as measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShotScore {
    /// Frames in the shot.
    pub frames: u64,
    /// Bytes of its encoded samples.
    pub bytes: u64,
    /// PSNR over the shot, in dB; may be infinite.
    pub psnr: f64,
}

/// A trial encode of the whole title at one size and quality setting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Encoded size.
    pub size: Size,
    /// The encoder's constant rate factor.
    pub crf: u32,
    /// Mean rate and pooled quality over the title.
    pub point: RateQuality,
}

/// The title's point when its shots have this many bytes, this loss and this many frames together.
pub fn pooled_point(
    metric: Metric,
    bytes: u64,
    loss: f64,
    frames: u64,
    frames_per_second: f64,
) -> RateQuality {
    let rate = 8.0 * bytes as f64 * frames_per_second / frames as f64;
    RateQuality { rate, quality: metric.quality(loss / frames as f64) }
}

/// The title's point for a trial whose shots these are, at most [`QUALITY_CEILING_DB`]. `None` without a frame.
pub fn title_point(shots: &[ShotScore], frames_per_second: f64) -> Option<RateQuality> {
    let frames: u64 = shots.iter().map(|shot| shot.frames).sum();
    let bytes = shots.iter().map(|shot| shot.bytes).sum();
    let loss = shots.iter().map(|shot| Metric::Psnr.loss(shot.psnr) * shot.frames as f64).sum();
    (frames > 0).then(|| pooled_point(Metric::Psnr, bytes, loss, frames, frames_per_second))
}

/// The sizes worth a trial for a source of this size: those of [`FIXED_LADDER`] that it fills, and its own when no
/// larger than the largest of them. By rising area, without doubles, no side below [`MIN_SIDE`]; the largest is always
/// among them.
pub fn trial_sizes(source: Size) -> Vec<Size> {
    let mut sizes: Vec<Size> = FIXED_LADDER
        .iter()
        .filter(|rung| rung.bounds.width <= source.width || rung.bounds.height <= source.height)
        .map(|rung| source.fit_in(rung.bounds))
        .collect();
    let widest = FIXED_LADDER.iter().map(|rung| rung.bounds).max_by_key(|bounds| bounds.area());
    let largest = widest.map(|bounds| source.fit_in(bounds));
    sizes.retain(|size| size.width.min(size.height) >= MIN_SIDE);
    sizes.extend(largest);
    sizes.sort_by_key(|size| size.area());
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shots_pool_by_error_not_by_decibels() {
        let shot = |frames, psnr| ShotScore { frames, bytes: 1000, psnr };
        let quality = |shots: &[ShotScore]| title_point(shots, 25.0).unwrap().quality;
        assert!((quality(&[shot(10, 40.0), shot(30, 40.0)]) - 40.0).abs() < 1e-9);
        // Equal numbers of frames at error 1 and 0 make half the error: 3.01 dB more.
        let half_clean = quality(&[shot(5, 40.0), shot(5, f64::INFINITY)]);
        assert!((half_clean - 43.0103).abs() < 1e-4, "{half_clean}");
        let lossless = title_point(&[shot(25, f64::INFINITY)], 25.0).unwrap();
        assert_eq!((lossless.quality, lossless.rate), (QUALITY_CEILING_DB, 8000.0));
        assert_eq!(title_point(&[], 25.0), None);
    }

    #[test]
    fn quality_and_loss_are_inverse_and_losses_add() {
        for (metric, quality) in [(Metric::Psnr, 37.5), (Metric::Vmaf, 81.25), (Metric::Vmaf, 0.0)] {
            assert!((metric.quality(metric.loss(quality)) - quality).abs() < 1e-9);
        }
        let mean = f64::midpoint(Metric::Vmaf.loss(90.0), Metric::Vmaf.loss(50.0));
        assert!((Metric::Vmaf.quality(mean) - 70.0).abs() < 1e-9);
        assert!(Metric::Vmaf.loss(100.0) > 0.0);
    }

    #[test]
    fn sizes_fit_the_source() {
        let size = |width, height| Size { width, height };
        let hd = trial_sizes(size(1280, 720));
        assert_eq!(hd, [size(416, 234), size(640, 360), size(768, 432), size(960, 540), size(1280, 720)]);
        let scope = trial_sizes(size(640, 272));
        assert_eq!(scope, [size(416, 176), size(640, 272)]);
        assert_eq!(trial_sizes(size(101, 75)), [size(100, 74)]);
        assert_eq!(trial_sizes(size(1920, 108)), [size(1280, 72), size(1920, 108)]);
        assert_eq!(trial_sizes(size(7680, 4320)).last(), Some(&size(1920, 1080)));
    }
}
