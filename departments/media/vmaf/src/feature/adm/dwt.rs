//! The wavelet of ADM: Daubechies' db2, one level at a time, in fixed point.
//!
//! Output `i` of a line uses samples `2i-1` to `2i+2`; before the line lies sample 1, behind it the line is reflected with
//! its edge repeated. Scale 0 takes picture samples, removes their mean and keeps 16 bits; the others take the
//! approximation band before, with 64-bit sums and 32-bit results.

use backlot_frames::{Frame, Pixels, Plane, Sample};

use crate::isa::{Isa, kernel};
use crate::kernel::{Grid, reflect_first};
use crate::simd::window::{Element, MIN_WIDTH, PAD, Row};

const LOW: [i32; 4] = [15_826, 27_411, 7345, -4240];
const HIGH: [i32; 4] = [-4240, -7345, 27_411, -15_826];
/// Sum of the low-pass filter.
const LOW_SUM: i64 = 46_342;

/// The bands of one level.
#[derive(Debug, Default)]
pub(crate) struct Bands {
    /// Low-pass both ways: what the next level takes.
    pub(crate) approximation: Grid<i32>,
    /// Horizontal, vertical and diagonal detail of scales 1 to 3.
    pub(crate) detail: [Grid<i32>; 3],
    /// The same of scale 0, whose values have 16 bits.
    pub(crate) fine: [Grid<i16>; 3],
}

/// A value of a band.
#[allow(unsafe_code, reason = "vectors go to memory by address")]
pub(super) trait Coefficient: Copy {
    fn of(value: i16) -> Self;
    /// Writes the lower halves of the lanes.
    ///
    /// # Safety
    /// `LANES` values are writable at `to`.
    unsafe fn store<S: crate::simd::Simd>(simd: S, value: S::V, to: *mut Self);
}

/// Scratch rows of the transform.
#[derive(Debug, Default)]
pub(crate) struct Dwt {
    low: Vec<i32>,
    high: Vec<i32>,
    halves: [Vec<i32>; 4],
    /// Rows of scale 0, low-passed and high-passed, for vectors.
    wide: [Row; 2],
}

/// Roundings and shifts of a later level: vertical, then horizontal.
#[derive(Clone, Copy)]
struct Later {
    round_down: i64,
    shift_down: u32,
    round_across: i64,
    shift_across: u32,
}

const LATER: [Later; 3] = [
    Later { round_down: 0, shift_down: 0, round_across: 16_384, shift_across: 15 },
    Later { round_down: 32_768, shift_down: 16, round_across: 32_768, shift_across: 16 },
    Later { round_down: 32_768, shift_down: 16, round_across: 16_384, shift_across: 15 },
];

/// The sample that tap `tap` of output `i` uses, in a line of `n` samples.
pub(crate) fn source(i: usize, tap: usize, n: usize) -> usize {
    reflect_first((2 * i + tap) as isize - 1, n)
}

impl Dwt {
    fn resize(&mut self, width: usize) {
        self.wide.iter_mut().for_each(|row| row.resize(width + 2 * PAD, 0));
        self.low.resize(width, 0);
        self.high.resize(width, 0);
        for half in &mut self.halves {
            half.resize(width.div_ceil(2) + 1, 0);
        }
    }

    /// The bands of `scale`: of the luma of `frame` at scale 0, else of the level `before`.
    pub(crate) fn level(
        &mut self,
        isa: Isa,
        frame: &Frame,
        scale: usize,
        before: Option<&Bands>,
        bands: &mut Bands,
    ) {
        let depth = frame.format().depth().bits();
        match (scale, frame.pixels(), before) {
            (1.., _, Some(before)) => self.later(isa, &before.approximation, scale, bands),
            (_, Pixels::Eight(planes), _) => self.first(isa, &planes[0], depth, bands),
            (_, Pixels::Deep(planes), _) => self.first(isa, &planes[0], depth, bands),
        }
    }

    /// Scale 0, of a luma plane with `depth` bits.
    fn first<S: Sample + Element>(&mut self, isa: Isa, plane: &Plane<S>, depth: u32, bands: &mut Bands) {
        let (width, height) = (plane.width(), plane.height());
        self.resize(width);
        bands.resize(width.div_ceil(2), height.div_ceil(2), true);
        for y in 0..height.div_ceil(2) {
            let lines: [&[S]; 4] = std::array::from_fn(|tap| plane.row(source(y, tap, height)));
            if isa.has_vectors() && width >= MIN_WIDTH {
                let (a, [v, h, d]) = bands.fine_rows_mut(y);
                assert!(lines.iter().all(|line| line.len() >= width), "invariant: rows are whole");
                wide::down(isa, lines, depth, width, &mut self.wide);
                self.wide.iter_mut().for_each(|row| continue_row(row, width));
                wide::across(isa, &self.wide[0], a, v);
                wide::across(isa, &self.wide[1], h, d);
                continue;
            }
            first_down(isa, lines, depth, &mut self.low, &mut self.high);
            split(&self.low, &self.high, &mut self.halves);
            let (a, [v, h, d]) = bands.fine_rows_mut(y);
            let [low_odd, low_even, high_odd, high_even] = self.halves.each_ref().map(Vec::as_slice);
            first_across(isa, low_odd, low_even, a, v);
            first_across(isa, high_odd, high_even, h, d);
        }
    }

    /// Scale `scale` (1 to 3), of the approximation before.
    fn later(&mut self, isa: Isa, before: &Grid<i32>, scale: usize, bands: &mut Bands) {
        let (width, height) = (before.width, before.height);
        self.resize(width);
        bands.resize(width.div_ceil(2), height.div_ceil(2), false);
        let later = LATER[scale - 1];
        for y in 0..height.div_ceil(2) {
            let lines: [&[i32]; 4] = std::array::from_fn(|tap| before.row(source(y, tap, height)));
            later_down(isa, lines, later, &mut self.low, &mut self.high);
            split(&self.low, &self.high, &mut self.halves);
            let [a, v, h, d] = bands.rows_mut(y);
            let [low_odd, low_even, high_odd, high_even] = self.halves.each_ref().map(Vec::as_slice);
            later_across(isa, low_odd, low_even, later, a, v);
            later_across(isa, high_odd, high_even, later, h, d);
        }
    }
}

impl Coefficient for i16 {
    fn of(value: i16) -> Self {
        value
    }
    #[allow(unsafe_code, clippy::inline_always, reason = "part of a kernel")]
    #[inline(always)]
    unsafe fn store<S: crate::simd::Simd>(simd: S, value: S::V, to: *mut Self) {
        // SAFETY: the caller's.
        unsafe { simd.store_low16(value, to) }
    }
}

impl Coefficient for i32 {
    fn of(value: i16) -> Self {
        value.into()
    }
    #[allow(unsafe_code, clippy::inline_always, reason = "part of a kernel")]
    #[inline(always)]
    unsafe fn store<S: crate::simd::Simd>(simd: S, value: S::V, to: *mut Self) {
        // SAFETY: the caller's. Lanes were shifted from 32 bits with their sign, so their halves are their values.
        unsafe { simd.store32(value, to) }
    }
}

impl Bands {
    fn resize(&mut self, width: usize, height: usize, is_first: bool) {
        self.approximation.resize(width, height);
        if is_first {
            self.fine.iter_mut().for_each(|band| band.resize(width, height));
        } else {
            self.detail.iter_mut().for_each(|band| band.resize(width, height));
        }
    }

    /// Width and height.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.approximation.width, self.approximation.height)
    }

    /// Columns of row `y` of horizontal, vertical and diagonal detail.
    pub(super) fn row(&self, y: usize, columns: std::ops::Range<usize>) -> [&[i32]; 3] {
        self.detail.each_ref().map(|band| &band.row(y)[columns.clone()])
    }

    /// The same at scale 0.
    pub(super) fn fine_row(&self, y: usize, columns: std::ops::Range<usize>) -> [&[i16]; 3] {
        self.fine.each_ref().map(|band| &band.row(y)[columns.clone()])
    }

    /// Row `y` of approximation, vertical, horizontal and diagonal detail.
    fn rows_mut(&mut self, y: usize) -> [&mut [i32]; 4] {
        let [h, v, d] = &mut self.detail;
        [self.approximation.row_mut(y), v.row_mut(y), h.row_mut(y), d.row_mut(y)]
    }

    /// The same at scale 0.
    fn fine_rows_mut(&mut self, y: usize) -> (&mut [i32], [&mut [i16]; 3]) {
        let [h, v, d] = &mut self.fine;
        (self.approximation.row_mut(y), [v.row_mut(y), h.row_mut(y), d.row_mut(y)])
    }
}

/// Splits both rows into the samples that taps 0 and 2 use, and taps 1 and 3: tap `t` of output `i` is `2i - 1 + t`, so
/// the first half holds odd samples (sample 1 before the line), the second even ones.
fn split(low: &[i32], high: &[i32], halves: &mut [Vec<i32>; 4]) {
    let n = low.len();
    let outputs = n.div_ceil(2);
    let [low_odd, low_even, high_odd, high_even] = halves;
    for (row, odd, even) in [(low, low_odd, low_even), (high, high_odd, high_even)] {
        for (pair, (odd, even)) in row.chunks_exact(2).zip(odd[1..].iter_mut().zip(even.iter_mut())) {
            *even = pair[0];
            *odd = pair[1];
        }
        odd[0] = row[source(0, 0, n)];
        for i in outputs.saturating_sub(1)..outputs {
            odd[i] = row[source(i, 0, n)];
            even[i] = row[source(i, 1, n)];
            odd[i + 1] = row[source(i, 2, n)];
            even[i + 1] = row[source(i, 3, n)];
        }
    }
}

/// Continues a padded row as [`source`] says.
fn continue_row(row: &mut Row, n: usize) {
    row[PAD - 1] = row[PAD + 1];
    row[PAD + n] = row[PAD + n - 1];
    row[PAD + n + 1] = row[PAD + n - 2];
}

/// Scale 0 with dot products of 16-bit pairs; deep samples are lowered by 2^15, which the start of a sum makes good.
#[allow(unsafe_code, reason = "vectors are loaded by address; lengths were checked")]
mod wide {
    use super::{Coefficient, HIGH, LOW, LOW_SUM};
    use crate::simd::window::{Element, LOWER, PAD, Row};
    use crate::simd::{Simd, simd_kernel};

    /// Weights of taps 0 and 1, and of taps 2 and 3.
    const fn pairs(filter: [i32; 4]) -> [i32; 2] {
        [(filter[0] & 0xffff) | (filter[1] << 16), (filter[2] & 0xffff) | (filter[3] << 16)]
    }

    simd_kernel! {
        /// Filters rows down, into a low-passed and a high-passed one.
        pub(super) fn down [E: Element] [E] (
            simd; lines: [&[E]; 4], depth: u32, width: usize, out: &mut [Row; 2],
        ) -> () {
            let round = 1_i64 << (depth - 1);
            let lowered = if E::IS_DEEP { LOW_SUM << 15 } else { 0 };
            let starts = [(round - LOW_SUM * round + lowered) as i32, round as i32];
            let weights = [pairs(LOW), pairs(HIGH)];
            let lower = simd.splat(LOWER);
            let mut x = 0;
            loop {
                for band in 0..2 {
                    let mut sum = simd.splat(starts[band]);
                    for pair in 0..2 {
                        // SAFETY: the lines hold the width, and `x + LANES` is at most that.
                        let values = unsafe {
                            E::pairs(simd, lines[2 * pair].as_ptr().add(x), lines[2 * pair + 1].as_ptr().add(x))
                        };
                        let values = if E::IS_DEEP { simd.xor(values, lower) } else { values };
                        sum = simd.dot(sum, values, simd.splat(weights[band][pair]));
                    }
                    // SAFETY: the rows of `out` hold the width and padding.
                    unsafe {
                        simd.store_low16(simd.shift_right_signed(sum, depth), out[band].as_mut_ptr().add(PAD + x));
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
        /// Filters a continued row across.
        pub(super) fn across [A: Coefficient, B: Coefficient] [A, B] (
            simd; row: &Row, low: &mut [A], high: &mut [B],
        ) -> () {
            let width = low.len().min(high.len());
            let mut x = 0;
            loop {
                // SAFETY: the row has twice the width, less one, and padding; `x + LANES` is at most the width.
                unsafe {
                    A::store(simd, across_at(simd, row, x, pairs(LOW)), low.as_mut_ptr().add(x));
                    B::store(simd, across_at(simd, row, x, pairs(HIGH)), high.as_mut_ptr().add(x));
                }
                if x + S::LANES == width {
                    break;
                }
                x = (x + S::LANES).min(width - S::LANES);
            }
        }
    }

    /// # Safety
    /// The row has `2 (x + LANES)` values, less one, and padding.
    #[allow(clippy::inline_always, reason = "part of a kernel")]
    #[inline(always)]
    unsafe fn across_at<S: Simd>(simd: S, row: &Row, x: usize, weights: [i32; 2]) -> S::V {
        let mut sum = simd.splat(32_768);
        for (pair, weight) in weights.into_iter().enumerate() {
            // SAFETY: the caller's.
            let values = unsafe { simd.load16(row.as_ptr().add(PAD - 1 + 2 * (x + pair))) };
            sum = simd.dot(sum, values, simd.splat(weight));
        }
        simd.shift_right_signed(sum, 16)
    }
}

kernel! {
    fn first_down [S: Sample] [S] (lines: [&[S]; 4], depth: u32, low: &mut [i32], high: &mut [i32]) {
        let width = low.len();
        let high = &mut high[..width];
        let lines = lines.map(|line| &line[..width]);
        let round = 1_i64 << (depth - 1);
        let (round_low, round_high) = ((round - LOW_SUM * round) as i32, round as i32);
        for x in 0..width {
            let (mut l, mut h) = (round_low, round_high);
            for tap in 0..4 {
                let sample: u32 = lines[tap][x].into();
                l = l.wrapping_add(LOW[tap].wrapping_mul(sample as i32));
                h = h.wrapping_add(HIGH[tap].wrapping_mul(sample as i32));
            }
            low[x] = i32::from((l >> depth) as i16);
            high[x] = i32::from((h >> depth) as i16);
        }
    }
}

kernel! {
    fn first_across [A: Coefficient, B: Coefficient] [A, B] (odd: &[i32], even: &[i32], low: &mut [A], high: &mut [B]) {
        let width = low.len();
        let high = &mut high[..width];
        let taps = [&odd[..width], &even[..width], &odd[1..=width], &even[1..=width]];
        for x in 0..width {
            let (mut l, mut h) = (32_768_i32, 32_768_i32);
            for tap in 0..4 {
                l = l.wrapping_add(LOW[tap].wrapping_mul(taps[tap][x]));
                h = h.wrapping_add(HIGH[tap].wrapping_mul(taps[tap][x]));
            }
            low[x] = A::of((l >> 16) as i16);
            high[x] = B::of((h >> 16) as i16);
        }
    }
}

kernel! {
    fn later_down [] [] (lines: [&[i32]; 4], later: Later, low: &mut [i32], high: &mut [i32]) {
        let width = low.len();
        let high = &mut high[..width];
        let lines = lines.map(|line| &line[..width]);
        for x in 0..width {
            let (mut l, mut h) = (later.round_down, later.round_down);
            for tap in 0..4 {
                l += i64::from(LOW[tap]) * i64::from(lines[tap][x]);
                h += i64::from(HIGH[tap]) * i64::from(lines[tap][x]);
            }
            low[x] = (l >> later.shift_down) as i32;
            high[x] = (h >> later.shift_down) as i32;
        }
    }
}

kernel! {
    fn later_across [] [] (odd: &[i32], even: &[i32], later: Later, low: &mut [i32], high: &mut [i32]) {
        let width = low.len();
        let high = &mut high[..width];
        let taps = [&odd[..width], &even[..width], &odd[1..=width], &even[1..=width]];
        for x in 0..width {
            let (mut l, mut h) = (later.round_across, later.round_across);
            for tap in 0..4 {
                l += i64::from(LOW[tap]) * i64::from(taps[tap][x]);
                h += i64::from(HIGH[tap]) * i64::from(taps[tap][x]);
            }
            low[x] = (l >> later.shift_across) as i32;
            high[x] = (h >> later.shift_across) as i32;
        }
    }
}
