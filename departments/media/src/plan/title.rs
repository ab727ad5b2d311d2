//! From the scores of a title's shots to its point on the rate-quality plane, and the sizes worth trying.

use serde::{Deserialize, Serialize};

use crate::plan::{FIXED_LADDER, MIN_SIDE, Offer, RateQuality, Size};

/// PSNR at which a lossless shot is entered: an infinite score cannot be averaged or drawn. It is above what eight-bit
/// rounding alone leaves (58.9 dB).
pub const QUALITY_CEILING_DB: f64 = 60.0;

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

impl ShotScore {
    /// Its squared error: what its PSNR stands for is a mean squared error of 10^(-psnr/10) peaks squared, and this is
    /// the sum of those over its frames. Losses of shots may be added.
    pub fn loss(&self) -> f64 {
        self.frames as f64 * 10_f64.powf(-self.psnr / 10.0)
    }

    /// What [`equal_slope`](crate::plan::equal_slope) needs to know.
    pub fn offer(&self) -> Offer {
        Offer { bytes: self.bytes, loss: self.loss() }
    }
}

/// The title's point for shots that have this many bytes, this loss and this many frames together, at most
/// [`QUALITY_CEILING_DB`].
pub fn pooled_point(bytes: u64, loss: f64, frames: u64, frames_per_second: f64) -> RateQuality {
    let rate = 8.0 * bytes as f64 * frames_per_second / frames as f64;
    RateQuality { rate, quality: psnr_of_loss(loss, frames).min(QUALITY_CEILING_DB) }
}

/// The title's point for a trial whose shots these are. `None` without a frame.
pub fn title_point(shots: &[ShotScore], frames_per_second: f64) -> Option<RateQuality> {
    let frames: u64 = shots.iter().map(|shot| shot.frames).sum();
    let bytes = shots.iter().map(|shot| shot.bytes).sum();
    let loss = shots.iter().map(ShotScore::loss).sum();
    (frames > 0).then(|| pooled_point(bytes, loss, frames, frames_per_second))
}

/// The PSNR of this many frames with this loss together, in dB.
pub fn psnr_of_loss(loss: f64, frames: u64) -> f64 {
    -10.0 * (loss / frames as f64).log10()
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
