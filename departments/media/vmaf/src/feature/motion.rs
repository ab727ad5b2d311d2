//! Integer motion: how much the low-pass filtered luma of the reference changes from frame to frame.
//!
//! Per frame there is one number, the mean absolute filtered difference with the frame before (or the one before that, in
//! the five-frame window of high frame rates). Filtering is linear, so the *difference* is filtered, once: a separable
//! five-tap kernel whose weights sum to 65536, rounded after each direction. The scores that models use, motion2 (least of
//! two neighbouring differences) and motion3 (blended, clipped, smoothed), need the next frame and are made in
//! [`finish`](super::finish) from the numbers of all frames.

use backlot_frames::{Frame, Sample};

use super::spec::Values;
use crate::Error;
use crate::isa::{Isa, kernel};
use crate::kernel::{PlanePair, mirror, mirror_row, plane_pair};

const FILTER: [i32; 5] = [3571, 16004, 26386, 16004, 3571];
const PAD: usize = 2;

/// Options of one variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MotionOptions {
    pub(crate) force_zero: bool,
    pub(crate) blend_factor: f64,
    pub(crate) blend_offset: f64,
    pub(crate) fps_weight: f64,
    pub(crate) max: f64,
    pub(crate) five_frame_window: bool,
    pub(crate) moving_average: bool,
}

impl MotionOptions {
    pub(crate) fn new(values: &Values) -> Self {
        Self {
            force_zero: values.flag("motion_force_zero"),
            blend_factor: values.number("motion_blend_factor"),
            blend_offset: values.number("motion_blend_offset"),
            fps_weight: values.number("motion_fps_weight"),
            max: values.number("motion_max_val"),
            five_frame_window: values.flag("motion_five_frame_window"),
            moving_average: values.flag("motion_moving_average"),
        }
    }

    /// How many frames back the difference is taken.
    pub(crate) fn stride(&self) -> usize {
        if self.five_frame_window { 2 } else { 1 }
    }
}

/// Scratch of the filter.
#[derive(Debug, Default)]
pub(crate) struct Motion {
    row: Vec<i32>,
}

impl Motion {
    /// Mean absolute filtered difference of two luma planes, before weights and limits.
    pub(crate) fn difference(&mut self, isa: Isa, earlier: &Frame, now: &Frame) -> Result<f64, Error> {
        let depth = now.format().depth().bits();
        let sum = match plane_pair(earlier, now, 0) {
            Some(PlanePair::Eight(a, b)) => self.sum(isa, a, b, depth),
            Some(PlanePair::Deep(a, b)) => self.sum(isa, a, b, depth),
            None => {
                return Err(backlot_frames::Error::FormatMismatch {
                    expected: earlier.format(),
                    got: now.format(),
                }
                .into());
            }
        };
        let area = now.format().width() * now.format().height();
        Ok(sum as f64 / 256.0 / area as f64)
    }

    fn sum<S: Sample>(
        &mut self,
        isa: Isa,
        earlier: &backlot_frames::Plane<S>,
        now: &backlot_frames::Plane<S>,
        depth: u32,
    ) -> u64 {
        let (width, height) = (now.width(), now.height());
        self.row.resize(width + 2 * PAD, 0);
        let mut total = 0;
        for y in 0..height {
            let lines: [usize; 5] = std::array::from_fn(|k| mirror(y as isize + k as isize - 2, height));
            vertical(
                isa,
                lines.map(|line| earlier.row(line)),
                lines.map(|line| now.row(line)),
                depth,
                &mut self.row[PAD..PAD + width],
            );
            mirror_row(&mut self.row, PAD, width);
            total += horizontal(isa, &self.row, width);
        }
        total
    }
}

kernel! {
    fn vertical [S: Sample] [S] (earlier: [&[S]; 5], now: [&[S]; 5], depth: u32, out: &mut [i32]) {
        let width = out.len();
        let earlier = earlier.map(|row| &row[..width]);
        let now = now.map(|row| &row[..width]);
        let difference = |k: usize, x: usize| {
            let (a, b): (u32, u32) = (earlier[k][x].into(), now[k][x].into());
            a as i32 - b as i32
        };
        // The weights sum to 2^16, so that differences of up to 14 bits fit 32.
        if depth <= 14 {
            for x in 0..width {
                let mut sum = 1_i32 << (depth - 1);
                for k in 0..5 {
                    sum += FILTER[k] * difference(k, x);
                }
                out[x] = sum >> depth;
            }
        } else {
            for x in 0..width {
                let mut sum = 1_i64 << (depth - 1);
                for k in 0..5 {
                    sum += i64::from(FILTER[k]) * i64::from(difference(k, x));
                }
                out[x] = (sum >> depth) as i32;
            }
        }
    }
}

kernel! {
    fn horizontal [] [] (row: &[i32], width: usize) -> u64 {
        let taps: [&[i32]; 5] = std::array::from_fn(|k| &row[k..k + width]);
        let mut total = 0_u64;
        // A filtered difference is at most 2^16, so a block of 2^12 fits 32 bits.
        let mut start = 0;
        while start < width {
            let end = (start + 4096).min(width);
            let mut block = 0_u32;
            for x in start..end {
                // The sum has 33 bits; halves and last bits apart, it fits 32.
                let (mut halves, mut bits) = (0_i32, 32_768_i32);
                for k in 0..5 {
                    halves += FILTER[k] * (taps[k][x] >> 1);
                    bits += FILTER[k] * (taps[k][x] & 1);
                }
                block += ((halves + (bits >> 1)) >> 15).unsigned_abs();
            }
            total += u64::from(block);
            start = end;
        }
        total
    }
}

/// motion2 and motion3 of all frames from their differences (`None` where a frame was not measured, which ends the list).
pub(crate) fn finish(options: &MotionOptions, sad: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let first = options.stride();
    let blend = |x: f64| {
        let mixed = x * options.blend_factor + (1.0 - options.blend_factor) * options.blend_offset.min(x);
        mixed.min(options.max)
    };
    let stamp = sad.get(first).map_or(0.0, |&x| blend(x));
    let mut before = stamp;
    let (mut second, mut third) = (Vec::with_capacity(sad.len()), Vec::with_capacity(sad.len()));
    for i in 0..sad.len() {
        if i < first {
            second.push(0.0);
            third.push(stamp);
            continue;
        }
        let earlier = (i + 1).checked_sub(first).filter(|&low| low >= first).map(|low| sad[low]);
        let motion2 = match (sad.get(i + 1), earlier) {
            (None, _) => sad[i],
            (Some(&next), None) => next,
            (Some(&next), Some(low)) => low.min(next),
        };
        let blended = blend(motion2);
        second.push(motion2);
        third.push(if options.moving_average { f64::midpoint(blended, before) } else { blended });
        before = blended;
    }
    (second, third)
}
