//! The pure half of encoding a title: from measured trial encodes to a ladder, and what the ladder is worth.
//!
//! Every function here takes facts and returns a plan; none does I/O. The method is per-title encoding (A. Aaron et
//! al., "Per-Title Encode Optimization", Netflix, 2015): encode at several resolutions and quality settings, take the
//! upper convex hull of all (rate, quality) points, and let the rungs of the ladder be points of the hull, because a
//! point below it costs more bits than a mixture of two others of the same quality. Within a rung every shot has the
//! quality setting that makes the title's bits do most good ([`equal_slope`]); all shots of a rung have one size.

mod bd_rate;
mod fixed;
mod hull;
mod ladder;
mod pchip;
mod per_shot;
mod title;

pub use bd_rate::{RungSaving, Saving, bd_rate, saving};
pub use fixed::{FIXED_LADDER, FixedRung, fixed_ladder, measured_on_fixed_ladder};
pub use hull::upper_hull;
pub use ladder::{Candidate, LadderOptions, LadderRules, Target, select_ladder, select_rungs};
pub use per_shot::{EqualSlope, Offer, between, equal_slope};
pub use title::{Metric, QUALITY_CEILING_DB, ShotScore, Trial, pooled_point, title_point, trial_sizes};

use serde::{Deserialize, Serialize};

/// A point of a rate-quality curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateQuality {
    /// Bits per second, positive.
    pub rate: f64,
    /// Any finite quality score that grows with quality: PSNR in dB, VMAF.
    pub quality: f64,
}

/// The least side of an encoded picture. SVT-AV1 takes no smaller one, and below it no metric here means much.
pub const MIN_SIDE: u32 = 64;

/// A picture size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Size {
    /// Pixels in the picture.
    pub fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The largest size with this one's shape inside `bounds`, both sides even (4:2:0 needs it) and at least 2.
    /// A picture that fits already keeps its size, made even.
    pub fn fit_in(self, bounds: Self) -> Self {
        let across = f64::from(bounds.width) / f64::from(self.width);
        let down = f64::from(bounds.height) / f64::from(self.height);
        let scale = across.min(down).min(1.0);
        let side = |length: u32| {
            let even = (f64::from(length) * scale / 2.0).round() as u32 * 2;
            even.min(length / 2 * 2).max(2)
        };
        Self { width: side(self.width), height: side(self.height) }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}
