//! VIF in plain loops: what runs where there are no vectors of [`crate::simd`], at the smallest scale, and what property
//! tests compare the vectors with.

#![allow(clippy::needless_range_loop, reason = "lanes of several arrays at once")]

use super::{EPSILON, NOISE, Shifts, Sums, add_statistic};
use crate::isa::{Isa, kernel};
use crate::kernel::{Grid, Rows, mirror, mirror_row};

/// Values before and after a row, for the widest window.
const PAD: usize = 8;

/// Scratch of the plain loops.
#[derive(Debug, Default)]
pub(super) struct WindowRows {
    /// Vertically filtered: both means, both squares, the product; padded.
    vertical: [Vec<u32>; 5],
    /// Variances and covariance of one row.
    ref_variance: Vec<i32>,
    dis_variance: Vec<i32>,
    covariance: Vec<i32>,
}

/// Scratch of the low-pass.
#[derive(Debug, Default)]
pub(super) struct HalvingRows {
    row: Vec<u32>,
    even: Vec<u32>,
    odd: Vec<u32>,
}

impl HalvingRows {
    pub(super) fn halve<R: Rows, const N: usize>(
        &mut self,
        isa: Isa,
        from: &R,
        (width, height): (usize, usize),
        filter: &[u32; N],
        shift: u32,
        target: &mut Grid<u16>,
    ) {
        target.resize(width / 2, height / 2);
        self.row.resize(width + 2 * PAD, 0);
        let half_length = (width + 2 * PAD).div_ceil(2);
        self.even.resize(half_length, 0);
        self.odd.resize(half_length, 0);
        for y in 0..height / 2 {
            let lines: [&[R::Value]; N] =
                std::array::from_fn(|k| from.line(mirror((2 * y + k) as isize - (N / 2) as isize, height)));
            low_pass_down(isa, lines, filter, shift, &mut self.row[PAD..PAD + width]);
            mirror_row(&mut self.row, PAD, width);
            for (x, pair) in self.row.chunks(2).enumerate() {
                self.even[x] = pair[0];
                self.odd[x] = pair.get(1).copied().unwrap_or(0);
            }
            low_pass_across(isa, &self.even, &self.odd, filter, target.row_mut(y));
        }
    }
}

kernel! {
    fn low_pass_down [V: Copy + Into<u32>, const N: usize] [V, N]
    (lines: [&[V]; N], filter: &[u32; N], shift: u32, out: &mut [u32]) {
        let width = out.len();
        let lines = lines.map(|line| &line[..width]);
        let round = 1_u32 << (shift - 1);
        for x in 0..width {
            let mut sum = round;
            for k in 0..N {
                sum = sum.wrapping_add(filter[k].wrapping_mul(lines[k][x].into()));
            }
            out[x] = sum >> shift;
        }
    }
}

kernel! {
    fn low_pass_across [const N: usize] [N] (even: &[u32], odd: &[u32], filter: &[u32; N], out: &mut [u16]) {
        let width = out.len();
        // Output x is centred on padded index PAD + 2x: tap k lies at PAD + 2x + k - N/2.
        let taps: [&[u32]; N] = std::array::from_fn(|k| {
            let at = PAD + k - N / 2;
            let half = if at.is_multiple_of(2) { even } else { odd };
            &half[at / 2..at / 2 + width]
        });
        for x in 0..width {
            let mut sum = 32_768_u32;
            for k in 0..N {
                sum = sum.wrapping_add(filter[k].wrapping_mul(taps[k][x]));
            }
            out[x] = (sum >> 16) as u16;
        }
    }
}

impl WindowRows {
    /// Sums of each picture but the first, which is the reference.
    pub(super) fn all_statistics<R: Rows, const N: usize>(
        &mut self,
        isa: Isa,
        pictures: &[&R],
        size: (usize, usize),
        filter: &[u32; N],
        shifts: Shifts,
        limits: &[f64],
    ) -> Vec<Vec<Sums>> {
        let (reference, distorted) = (pictures[0], &pictures[1..]);
        let one = |picture: &&R| self.statistics(isa, reference, *picture, size, filter, shifts, limits);
        distorted.iter().map(one).collect()
    }

    #[allow(clippy::too_many_arguments, reason = "one window over one pair of pictures")]
    fn statistics<R: Rows, const N: usize>(
        &mut self,
        isa: Isa,
        reference: &R,
        distorted: &R,
        (width, height): (usize, usize),
        filter: &[u32; N],
        shifts: Shifts,
        limits: &[f64],
    ) -> Vec<Sums> {
        for row in &mut self.vertical {
            row.resize(width + 2 * PAD, 0);
        }
        for row in [&mut self.ref_variance, &mut self.dis_variance, &mut self.covariance] {
            row.resize(width, 0);
        }
        let mut sums = vec![Sums::default(); limits.len()];
        for y in 0..height {
            let line = |k: usize| mirror((y + k) as isize - (N / 2) as isize, height);
            let ref_lines: [&[R::Value]; N] = std::array::from_fn(|k| reference.line(line(k)));
            let dis_lines: [&[R::Value]; N] = std::array::from_fn(|k| distorted.line(line(k)));
            let [m1, m2, rr, dd, rd] = self.vertical.each_mut().map(|row| &mut row[PAD..PAD + width]);
            let (lines, out) = ([ref_lines, dis_lines], [m1, m2, rr, dd, rd]);
            if size_of::<R::Value>() == 1 {
                window_down::<_, N, false>(isa, lines, filter, shifts, out);
            } else {
                window_down::<_, N, true>(isa, lines, filter, shifts, out);
            }
            for row in &mut self.vertical {
                mirror_row(row, PAD, width);
            }
            let [m1, m2, rr, dd, rd] = self.vertical.each_ref().map(Vec::as_slice);
            let out = [&mut self.ref_variance[..], &mut self.dis_variance, &mut self.covariance];
            window_across(isa, [m1, m2, rr, dd, rd], filter, out);
            let Self { ref_variance, dis_variance, covariance, .. } = self;
            add_statistic(isa, ref_variance, dis_variance, covariance, limits, &mut sums);
        }
        sums
    }
}

/// Samples that a kernel works on at once: a vector of AVX-512. Sums of so many lie in local arrays, which become registers.
const LANES: usize = 16;

/// `L` samples from `start`, widened.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn lanes<V: Copy + Into<u32>, const L: usize>(line: &[V], start: usize) -> [u32; L] {
    let chunk = &line[start..start + L];
    let mut values = [0; L];
    for lane in 0..L {
        values[lane] = chunk[lane].into();
    }
    values
}

/// `sum += weight * value` in every lane, modulo 2^32.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn add<const L: usize>(sum: &mut [u32; L], weight: u32, value: &[u32; L]) {
    for lane in 0..L {
        sum[lane] = sum[lane].wrapping_add(weight.wrapping_mul(value[lane]));
    }
}

/// Every lane through `f`.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn each<const L: usize>(a: &[u32; L], f: impl Fn(u32) -> u32) -> [u32; L] {
    let mut values = [0; L];
    for lane in 0..L {
        values[lane] = f(a[lane]);
    }
    values
}

/// The product in every lane, modulo 2^32.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn product<const L: usize>(a: &[u32; L], b: &[u32; L]) -> [u32; L] {
    let mut values = [0; L];
    for lane in 0..L {
        values[lane] = a[lane].wrapping_mul(b[lane]);
    }
    values
}

/// A pass over a row, so many columns at once.
trait Pass {
    fn at<const L: usize>(&mut self, start: usize);
}

/// Takes a pass over `width` columns; the last vector overlaps the one before.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn over(width: usize, mut pass: impl Pass) {
    if width < LANES {
        for start in 0..width {
            pass.at::<1>(start);
        }
        return;
    }
    let mut start = 0;
    while start + LANES < width {
        pass.at::<LANES>(start);
        start += LANES;
    }
    pass.at::<LANES>(width - LANES);
}

kernel! {
    /// The vertical pass: both means, both squares, the product. Squares of deep samples are taken in 16-bit halves; those
    /// of 8-bit samples sum to less than 2^32.
    fn window_down [V: Copy + Into<u32>, const N: usize, const IS_DEEP: bool] [V, N, IS_DEEP]
    (lines: [[&[V]; N]; 2], filter: &[u32; N], shifts: Shifts, out: [&mut [u32]; 5]) {
        over(out[0].len(), DownPass::<V, N, IS_DEEP> { lines, filter, shifts, out });
    }
}

/// Arguments of [`window_down`].
struct DownPass<'a, V, const N: usize, const IS_DEEP: bool> {
    lines: [[&'a [V]; N]; 2],
    filter: &'a [u32; N],
    shifts: Shifts,
    out: [&'a mut [u32]; 5],
}

impl<V: Copy + Into<u32>, const N: usize, const IS_DEEP: bool> Pass for DownPass<'_, V, N, IS_DEEP> {
    #[allow(clippy::inline_always, reason = "part of a kernel")]
    #[inline(always)]
    fn at<const L: usize>(&mut self, start: usize) {
        let Shifts { mean: shift, square } = self.shifts;
        let mut means = [[1_u32 << (shift - 1); L]; 2];
        let (mut high, mut low) = ([[0; L]; 3], [[0; L]; 3]);
        for k in 0..N {
            let r = lanes::<V, L>(self.lines[0][k], start);
            let d = lanes::<V, L>(self.lines[1][k], start);
            let weight = self.filter[k];
            add(&mut means[0], weight, &r);
            add(&mut means[1], weight, &d);
            let products = [product(&r, &r), product(&d, &d), product(&r, &d)];
            for moment in 0..3 {
                if IS_DEEP {
                    add(&mut high[moment], weight, &each(&products[moment], |value| value >> 16));
                    add(&mut low[moment], weight, &each(&products[moment], |value| value & 0xffff));
                } else {
                    add(&mut low[moment], weight, &products[moment]);
                }
            }
        }
        for mean in 0..2 {
            self.out[mean][start..start + L].copy_from_slice(&each(&means[mean], |sum| sum >> shift));
        }
        let round = if square == 0 { 0 } else { 1_u32 << (square - 1) };
        for moment in 0..3 {
            let mut joined = low[moment];
            if IS_DEEP {
                for lane in 0..L {
                    let low = joined[lane].wrapping_add(round) >> square;
                    joined[lane] = (high[moment][lane] << (16 - square)).wrapping_add(low);
                }
            }
            self.out[2 + moment][start..start + L].copy_from_slice(&joined);
        }
    }
}

kernel! {
    /// The horizontal pass, and the squared means taken off.
    fn window_across [const N: usize] [N]
    (rows: [&[u32]; 5], filter: &[u32; N], out: [&mut [i32]; 3]) {
        over(out[0].len(), AcrossPass { rows, filter, out });
    }
}

/// Arguments of [`window_across`].
struct AcrossPass<'a, const N: usize> {
    rows: [&'a [u32]; 5],
    filter: &'a [u32; N],
    out: [&'a mut [i32]; 3],
}

impl<const N: usize> Pass for AcrossPass<'_, N> {
    #[allow(clippy::inline_always, reason = "part of a kernel")]
    #[inline(always)]
    fn at<const L: usize>(&mut self, start: usize) {
        let mut means = [[0_u32; L]; 2];
        let (mut high, mut low) = ([[0_u32; L]; 3], [[32_768_u32; L]; 3]);
        for k in 0..N {
            let from = PAD + k - N / 2 + start;
            let weight = self.filter[k];
            for mean in 0..2 {
                add(&mut means[mean], weight, &lanes(self.rows[mean], from));
            }
            for moment in 0..3 {
                let values = lanes::<u32, L>(self.rows[2 + moment], from);
                add(&mut high[moment], weight, &each(&values, |value| value >> 16));
                add(&mut low[moment], weight, &each(&values, |value| value & 0xffff));
            }
        }
        for (moment, (first, second)) in [(0, 0), (1, 1), (0, 1)].into_iter().enumerate() {
            let least = if moment == 1 { 0 } else { i32::MIN };
            let mut values = [0_i32; L];
            for lane in 0..L {
                let product = u64::from(means[first][lane]) * u64::from(means[second][lane]);
                let squared = ((product + (1 << 31)) >> 32) as u32;
                let sum = high[moment][lane].wrapping_add(low[moment][lane] >> 16);
                values[lane] = (sum.wrapping_sub(squared) as i32).max(least);
            }
            self.out[moment][start..start + L].copy_from_slice(&values);
        }
    }
}

/// The whole part of `value`; nothing where it is negative, and at most 2^46: variances are below 2^31 and gains at most
/// 100. Adding 2^52 leaves a whole number in the last bits, which is what vectors of every instruction set can do.
#[allow(clippy::inline_always, reason = "part of a kernel")]
#[inline(always)]
fn whole(value: f64) -> i64 {
    const MOST: f64 = 70_368_744_177_664.0;
    const SHIFT: f64 = 4_503_599_627_370_496.0;
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < MOST { value } else { MOST };
    ((value.floor() + SHIFT).to_bits() & 0x000f_ffff_ffff_ffff) as i64
}

/// `2048 log2(value)`, rounded, of values of at least 2^15.
#[allow(clippy::inline_always, reason = "part of a kernel")]
#[inline(always)]
fn log2(table: &[i32; 32_768], value: u64) -> i64 {
    let shift = 48 - u64::from(value.leading_zeros());
    let mantissa = (value >> (shift & 63)) as usize & 0x7fff;
    i64::from(table[mantissa]) + ((shift as i64) << 11)
}

kernel! {
    /// Sums over a row for each gain limit, without branches: what does not count is computed and left out.
    pub(super) fn statistic [const LIMITS: usize] [LIMITS] (
        xx: &[i32], yy: &[i32], xy: &[i32], limits: [f64; LIMITS], table: &[i32; 32_768],
    ) -> [Sums; LIMITS] {
        let width = xx.len();
        let (yy, xy) = (&yy[..width], &xy[..width]);
        let mut num_log = [0_i64; LIMITS];
        let (mut den_log, mut flat, mut flat_variance) = (0_i64, 0_i64, 0_i64);
        for x in 0..width {
            let (xx, yy, xy) = (xx[x], yy[x], xy[x]);
            let is_flat = xx < NOISE;
            flat += i64::from(is_flat);
            flat_variance += if is_flat { i64::from(yy) } else { 0 };
            let varied = xx.max(NOISE);
            den_log += if is_flat { 0 } else { log2(table, (NOISE as u32).wrapping_add(varied as u32).into()) - 2048 * 17 };
            let gain = f64::from(xy) / (f64::from(varied) + EPSILON);
            let noise = whole(f64::from(yy) - gain * f64::from(xy)) + i64::from(NOISE);
            let log_noise = log2(table, noise as u64);
            let counts = !is_flat & (xy > 0) & (yy > 0);
            for k in 0..LIMITS {
                let gain = if gain < limits[k] { gain } else { limits[k] };
                let sent = whole(gain * gain * f64::from(varied));
                let arrived = log2(table, (sent + noise) as u64) - log_noise;
                num_log[k] += if counts { arrived } else { 0 };
            }
        }
        num_log.map(|num_log| Sums { num_log, den_log, flat, flat_variance })
    }
}
