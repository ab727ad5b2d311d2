//! The wavelet of ADM: Daubechies' db2, one level at a time, in fixed point.
//!
//! Output `i` of a line uses samples `2i-1` to `2i+2`; before the line lies sample 1, behind it the line is reflected with
//! its edge repeated. Scale 0 takes picture samples, removes their mean and keeps 16 bits; the others take the
//! approximation band before, with 64-bit sums and 32-bit results.

use backlot_frames::{Plane, Sample};

use crate::isa::{Isa, kernel};
use crate::kernel::Grid;

const LOW: [i32; 4] = [15_826, 27_411, 7345, -4240];
const HIGH: [i32; 4] = [-4240, -7345, 27_411, -15_826];
/// Sum of the low-pass filter.
const LOW_SUM: i64 = 46_342;

/// The bands of one level. Values of scale 0 fit 16 bits.
#[derive(Debug, Default)]
pub(crate) struct Bands {
    /// Low-pass both ways: what the next level takes.
    pub(crate) approximation: Grid<i32>,
    /// Horizontal, vertical and diagonal detail.
    pub(crate) detail: [Grid<i32>; 3],
}

/// Scratch rows of the transform.
#[derive(Debug, Default)]
pub(crate) struct Dwt {
    low: Vec<i32>,
    high: Vec<i32>,
    halves: [Vec<i32>; 4],
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
fn source(i: usize, tap: usize, n: usize) -> usize {
    let index = 2 * i + tap;
    let at = if index == 0 { 1 } else { index - 1 };
    let at = if at >= n { (2 * n - 1).saturating_sub(at) } else { at };
    at.min(n - 1)
}

impl Dwt {
    fn resize(&mut self, width: usize) {
        self.low.resize(width, 0);
        self.high.resize(width, 0);
        for half in &mut self.halves {
            half.resize(width.div_ceil(2) + 1, 0);
        }
    }

    /// Scale 0, of a luma plane with `depth` bits.
    pub(crate) fn first<S: Sample>(&mut self, isa: Isa, plane: &Plane<S>, depth: u32, bands: &mut Bands) {
        let (width, height) = (plane.width(), plane.height());
        self.resize(width);
        bands.resize(width.div_ceil(2), height.div_ceil(2));
        for y in 0..height.div_ceil(2) {
            let lines: [&[S]; 4] = std::array::from_fn(|tap| plane.row(source(y, tap, height)));
            first_down(isa, lines, depth, &mut self.low, &mut self.high);
            split(&self.low, &self.high, &mut self.halves);
            let [a, v, h, d] = bands.rows_mut(y);
            let [low_odd, low_even, high_odd, high_even] = self.halves.each_ref().map(Vec::as_slice);
            first_across(isa, low_odd, low_even, a, v);
            first_across(isa, high_odd, high_even, h, d);
        }
    }

    /// Scale `scale` (1 to 3), of the approximation before.
    pub(crate) fn later(&mut self, isa: Isa, before: &Grid<i32>, scale: usize, bands: &mut Bands) {
        let (width, height) = (before.width, before.height);
        self.resize(width);
        bands.resize(width.div_ceil(2), height.div_ceil(2));
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

impl Bands {
    fn resize(&mut self, width: usize, height: usize) {
        self.approximation.resize(width, height);
        for band in &mut self.detail {
            band.resize(width, height);
        }
    }

    /// Row `y` of approximation, vertical, horizontal and diagonal detail.
    fn rows_mut(&mut self, y: usize) -> [&mut [i32]; 4] {
        let [h, v, d] = &mut self.detail;
        [self.approximation.row_mut(y), v.row_mut(y), h.row_mut(y), d.row_mut(y)]
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
    fn first_across [] [] (odd: &[i32], even: &[i32], low: &mut [i32], high: &mut [i32]) {
        let width = low.len();
        let high = &mut high[..width];
        let taps = [&odd[..width], &even[..width], &odd[1..=width], &even[1..=width]];
        for x in 0..width {
            let (mut l, mut h) = (32_768_i32, 32_768_i32);
            for tap in 0..4 {
                l = l.wrapping_add(LOW[tap].wrapping_mul(taps[tap][x]));
                h = h.wrapping_add(HIGH[tap].wrapping_mul(taps[tap][x]));
            }
            low[x] = i32::from((l >> 16) as i16);
            high[x] = i32::from((h >> 16) as i16);
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
