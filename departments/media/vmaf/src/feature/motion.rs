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
use crate::simd::window::{Element, MIN_WIDTH, PAD as WIDE_PAD, ROWS, Row, Window, Window2};

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

    /// Those of `float_motion`, which has neither window nor average.
    pub(crate) fn of_float(values: &Values) -> Self {
        Self {
            force_zero: values.flag("motion_force_zero"),
            blend_factor: values.number("motion_blend_factor"),
            blend_offset: values.number("motion_blend_offset"),
            fps_weight: values.number("motion_fps_weight"),
            max: values.number("motion_max_val"),
            five_frame_window: false,
            moving_average: false,
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
    wide: [Halved; ROWS],
}

/// A row of filtered differences, which have 17 bits: their halves, rounded down, and what that leaves.
#[derive(Debug, Default)]
struct Halved {
    half: Row,
    rest: Row,
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

    fn sum<S: Sample + Element>(
        &mut self,
        isa: Isa,
        earlier: &backlot_frames::Plane<S>,
        now: &backlot_frames::Plane<S>,
        depth: u32,
    ) -> u64 {
        let (width, height) = (now.width(), now.height());
        if isa.has_vectors() && width >= MIN_WIDTH && depth <= WIDE_DEPTH {
            return self.wide_sum(isa, earlier, now, depth);
        }
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

/// The deepest samples whose differences fit 16 bits with their sign.
const WIDE_DEPTH: u32 = 14;

impl Motion {
    fn wide_sum<S: Sample + Element>(
        &mut self,
        isa: Isa,
        earlier: &backlot_frames::Plane<S>,
        now: &backlot_frames::Plane<S>,
        depth: u32,
    ) -> u64 {
        let (width, height) = (now.width(), now.height());
        for row in &mut self.wide {
            row.half.resize(width + 2 * WIDE_PAD, 0);
            row.rest.resize(width + 2 * WIDE_PAD, 0);
        }
        let mut total = 0;
        for top in (0..height).step_by(ROWS) {
            let line = |k: usize| mirror((top + k) as isize - Window2::REACH as isize, height);
            let lines: [usize; 2 * Window2::DOWN] = std::array::from_fn(line);
            let (earlier, now) = (lines.map(|line| earlier.row(line)), lines.map(|line| now.row(line)));
            assert!(earlier.iter().chain(&now).all(|row| row.len() >= width), "invariant: rows are whole");
            down(isa, &earlier, &now, depth, width, &mut self.wide);
            for row in self.wide.iter_mut().take(height - top) {
                mirror_row(&mut row.half, WIDE_PAD, width);
                mirror_row(&mut row.rest, WIDE_PAD, width);
                total += across(isa, row, width).unwrap_or_default();
            }
        }
        total
    }
}

#[allow(unsafe_code, reason = "vectors are loaded by address; lengths were checked")]
#[allow(clippy::needless_range_loop, reason = "one index into several arrays of registers")]
mod wide {
    use super::{FILTER, Halved};
    use crate::simd::simd_kernel;
    use crate::simd::window::{Element, PAD as WIDE_PAD, ROWS, Window, Window2, filtered};

    simd_kernel! {
        /// Filters the differences of [`ROWS`] rows down, and halves them.
        pub(super) fn down [E: Element] [E] (
            simd; earlier: &[&[E]], now: &[&[E]], depth: u32, width: usize, out: &mut [Halved; ROWS],
        ) -> () {
            let mut x = 0;
            loop {
                let mut sums = [simd.splat(1 << (depth - 1)); ROWS];
                for p in 0..Window2::DOWN {
                    // SAFETY: rows hold the width, and `x + LANES` is at most that.
                    let difference = unsafe {
                        let before = E::pairs(simd, earlier[2 * p].as_ptr().add(x), earlier[2 * p + 1].as_ptr().add(x));
                        let after = E::pairs(simd, now[2 * p].as_ptr().add(x), now[2 * p + 1].as_ptr().add(x));
                        simd.sub16(before, after)
                    };
                    for i in 0..ROWS {
                        sums[i] = simd.dot(sums[i], difference, simd.splat(Window2::down()[p][i]));
                    }
                }
                for i in 0..ROWS {
                    let filtered = simd.shift_right_signed(sums[i], depth);
                    let rest = simd.and(filtered, simd.splat(1));
                    // SAFETY: the rows of `out` hold the width and padding.
                    unsafe {
                        simd.store_low16(simd.shift_right_signed(filtered, 1), out[i].half.as_mut_ptr().add(WIDE_PAD + x));
                        simd.store_low16(rest, out[i].rest.as_mut_ptr().add(WIDE_PAD + x));
                    }
                }
                if x + S::LANES == width {
                    break;
                }
                x = (x + S::LANES).min(width - S::LANES);
            }
        }
    }

    simd_kernel! {
        /// The sum of sizes of a row filtered across.
        pub(super) fn across [] [] (simd; row: &Halved, width: usize) -> u64 {
            let mut total = simd.splat(0);
            let mut x = 0;
            while x + 2 * S::LANES <= width {
                // SAFETY: the rows hold the width and padding.
                let (halves, rests) = unsafe {
                    (filtered::<S, Window2>(simd, &row.half, x, 0), filtered::<S, Window2>(simd, &row.rest, x, 32_768))
                };
                for parity in 0..2 {
                    let sum = simd.add(halves[parity], simd.shift_right_signed(rests[parity], 1));
                    total = simd.add(total, simd.abs(simd.shift_right_signed(sum, 15)));
                }
                x += 2 * S::LANES;
            }
            // A size has at most 16 bits, and a lane as many of a row as fit 32.
            let mut sum = simd.total(total);
            while x < width {
                let (mut halves, mut rests) = (0_i32, 32_768_i32);
                for k in 0..5 {
                    let at = WIDE_PAD + x + k - Window2::REACH;
                    halves = halves.wrapping_add(FILTER[k] * i32::from(row.half[at]));
                    rests = rests.wrapping_add(FILTER[k] * i32::from(row.rest[at]));
                }
                sum += u64::from((halves.wrapping_add(rests >> 1) >> 15).unsigned_abs());
                x += 1;
            }
            sum
        }
    }
}

use self::wide::{across, down};

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
