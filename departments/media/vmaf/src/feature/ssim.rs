//! SSIM and MS-SSIM of luma (Wang, Bovik, Sheikh and Simoncelli 2004; Wang, Simoncelli and Bovik 2003), as libvmaf's
//! `float_ssim` and `float_ms_ssim` compute them.
//!
//! Samples are brought to the range of eight bits. An 11-tap Gaussian window, where it fits wholly into the picture, gives
//! means, variances and the covariance; luminance, contrast and structure are averaged each and multiplied per window.
//! SSIM works on a picture averaged down to about 256 lines, MS-SSIM at five scales of a wavelet low-pass. Rows of the
//! window are filtered down first, then across, in single precision; the averages are sums in lanes of double precision,
//! so that every instruction set adds in the same order.

use backlot_frames::{Format, Frame, Pixels};

use super::spec::Values;
use crate::Error;
use crate::isa::{Isa, kernel};
use crate::kernel::Grid;

const WINDOW: [f32; 11] = [
    0.001_028, 0.007_599, 0.036_001, 0.109_361, 0.213_006, 0.266_012, 0.213_006, 0.109_361, 0.036_001,
    0.007_599, 0.001_028,
];
const LOW_PASS: [f32; 9] =
    [0.026_727, -0.016_828, -0.078_201, 0.266_846, 0.602_914, 0.266_846, -0.078_201, -0.016_828, 0.026_727];
const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);
const C3: f32 = C2 / 2.0;
const SCALES: usize = 5;
/// Exponents of contrast and structure by scale; luminance counts at the last only.
const EXPONENTS: [f64; SCALES] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
const LANES: usize = 16;

/// Options of SSIM and MS-SSIM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SsimOptions {
    pub(crate) parts: bool,
    decibel: bool,
    most: f64,
    /// Lines and columns that become one; chosen by the picture's size where it is zero.
    scale: usize,
}

impl SsimOptions {
    pub(crate) fn new(values: &Values, format: Format, has_scale: bool) -> Self {
        let peak = f64::from(format.depth().peak());
        let pixels = (format.width() * format.height()) as f64;
        let most = if values.flag("clip_db") {
            (10.0 * (peak * peak / (0.5 / pixels)).log10()).ceil()
        } else {
            f64::INFINITY
        };
        let scale = if has_scale { values.integer("scale") as usize } else { 0 };
        Self { parts: values.flag("enable_lcs"), decibel: values.flag("enable_db"), most, scale }
    }

    /// The score as it is reported.
    pub(crate) fn shown(&self, score: f64) -> f64 {
        if self.decibel { (-10.0 * (1.0 - score).log10()).min(self.most) } else { score }
    }

    fn scale_of(&self, format: Format) -> usize {
        if self.scale > 0 {
            return self.scale;
        }
        let short = format.width().min(format.height()) as f32;
        ((short / 256.0 + 0.5) as usize).max(1)
    }

    /// Whether a window fits into the picture that SSIM works on.
    pub(crate) fn check(&self, format: Format) -> Result<(), Error> {
        let scale = self.scale_of(format);
        let min = WINDOW.len() * scale;
        if format.width() < min || format.height() < min {
            return Err(Error::TooSmall { feature: "float_ssim", min, format });
        }
        Ok(())
    }
}

/// The least side for MS-SSIM: its coarsest scale must hold a window.
pub(crate) const MS_MIN_SIDE: usize = WINDOW.len() << (SCALES - 1);

/// Means over the windows of a picture.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) ssim: f64,
    pub(crate) luminance: f64,
    pub(crate) contrast: f64,
    pub(crate) structure: f64,
}

/// Scratch.
#[derive(Debug, Default)]
pub(crate) struct Ssim {
    reference: Grid<f32>,
    distorted: Grid<f32>,
    /// Filtered down: both pictures, their squares, their product.
    down: [Vec<f32>; 5],
    /// SSIM, luminance, contrast and structure of a row of windows.
    shown: [Vec<f32>; 4],
    row: Vec<f32>,
}

impl Ssim {
    /// SSIM at the scale of the options.
    pub(crate) fn single(
        &mut self,
        isa: Isa,
        options: &SsimOptions,
        reference: &Frame,
        distorted: &Frame,
    ) -> Parts {
        take_luma(&mut self.reference, reference);
        take_luma(&mut self.distorted, distorted);
        let scale = options.scale_of(reference.format());
        if scale > 1 {
            self.reference = averaged(&self.reference, scale);
            self.distorted = averaged(&self.distorted, scale);
        }
        self.parts(isa)
    }

    /// MS-SSIM, and the parts of each scale.
    pub(crate) fn multiple(
        &mut self,
        isa: Isa,
        reference: &Frame,
        distorted: &Frame,
    ) -> (f64, [Parts; SCALES]) {
        take_luma(&mut self.reference, reference);
        take_luma(&mut self.distorted, distorted);
        let mut score = 1.0;
        let mut parts = [Parts::default(); SCALES];
        for (scale, exponent) in EXPONENTS.into_iter().enumerate() {
            if scale > 0 {
                self.reference = low_passed(isa, &self.reference, &mut self.row);
                self.distorted = low_passed(isa, &self.distorted, &mut self.row);
            }
            let one = self.parts(isa);
            let luminance = if scale == SCALES - 1 { one.luminance.powf(exponent) } else { 1.0 };
            score *= luminance * one.contrast.powf(exponent) * one.structure.powf(exponent);
            parts[scale] = one;
        }
        (score, parts)
    }

    fn parts(&mut self, isa: Isa) -> Parts {
        let (width, height) = (self.reference.width, self.reference.height);
        let (inner_width, inner_height) = (width + 1 - WINDOW.len(), height + 1 - WINDOW.len());
        for row in &mut self.down {
            row.resize(width, 0.0);
        }
        for row in &mut self.shown {
            row.resize(inner_width, 0.0);
        }
        let mut sums = [0.0_f64; 4];
        for y in 0..inner_height {
            let reference: [&[f32]; 11] = std::array::from_fn(|tap| self.reference.row(y + tap));
            let distorted: [&[f32]; 11] = std::array::from_fn(|tap| self.distorted.row(y + tap));
            let down = self.down.each_mut().map(|row| &mut row[..width]);
            let shown = self.shown.each_mut().map(|row| &mut row[..inner_width]);
            compare_row(isa, reference, distorted, down, shown);
            for (sum, row) in sums.iter_mut().zip(&self.shown) {
                *sum += total(isa, &row[..inner_width]);
            }
        }
        let count = (inner_width * inner_height) as f64;
        // Each mean is kept in single precision, as libvmaf does.
        let mean = |sum: f64| f64::from((sum / count) as f32);
        Parts {
            ssim: mean(sums[0]),
            luminance: mean(sums[1]),
            contrast: mean(sums[2]),
            structure: mean(sums[3]),
        }
    }
}

/// Luma in the range of eight bits.
pub(crate) fn take_luma(grid: &mut Grid<f32>, frame: &Frame) {
    let format = frame.format();
    grid.resize(format.width(), format.height());
    let scale = 1.0 / (1_u32 << (format.depth().bits() - 8)) as f32;
    for y in 0..format.height() {
        let line = grid.row_mut(y);
        match frame.pixels() {
            Pixels::Eight(planes) => {
                for (out, &sample) in line.iter_mut().zip(planes[0].row(y)) {
                    *out = sample.into();
                }
            }
            Pixels::Deep(planes) => {
                for (out, &sample) in line.iter_mut().zip(planes[0].row(y)) {
                    *out = f32::from(sample) * scale;
                }
            }
        }
    }
}

/// Index `i` of a line of `n` continued by reflection that repeats the edge.
fn reflect(i: isize, n: usize) -> usize {
    let n = n as isize;
    let at = if i < 0 {
        -1 - i
    } else if i >= n {
        2 * n - 1 - i
    } else {
        i
    };
    at.clamp(0, n - 1) as usize
}

/// Size of a line of `n` after decimation; an odd line keeps one more, whatever the factor.
fn decimated(n: usize, factor: usize) -> usize {
    n / factor + n % 2
}

/// Means of `scale` by `scale` samples around every `scale`th.
fn averaged(grid: &Grid<f32>, scale: usize) -> Grid<f32> {
    let mut small = Grid::default();
    small.resize(decimated(grid.width, scale), decimated(grid.height, scale));
    let half = (scale / 2) as isize;
    let weight = 1.0_f32 / (scale * scale) as f32;
    let mut column = vec![0.0_f64; grid.width];
    for y in 0..small.height {
        column.fill(0.0);
        for tap in 0..scale as isize {
            let row = grid.row(reflect((y * scale) as isize + tap - half, grid.height));
            for (sum, &value) in column.iter_mut().zip(row) {
                *sum += f64::from(value * weight);
            }
        }
        for (x, out) in small.row_mut(y).iter_mut().enumerate() {
            let taps =
                (0..scale as isize).map(|tap| column[reflect((x * scale) as isize + tap - half, grid.width)]);
            *out = taps.sum::<f64>() as f32;
        }
    }
    small
}

/// The wavelet's low-pass at even rows and columns.
fn low_passed(isa: Isa, grid: &Grid<f32>, row: &mut Vec<f32>) -> Grid<f32> {
    const REACH: usize = LOW_PASS.len() / 2;
    let mut small = Grid::default();
    small.resize(decimated(grid.width, 2), decimated(grid.height, 2));
    row.resize(grid.width + 2 * REACH, 0.0);
    for y in 0..small.height {
        let lines: [&[f32]; 9] = std::array::from_fn(|tap| {
            grid.row(reflect((2 * y + tap) as isize - REACH as isize, grid.height))
        });
        low_pass_down(isa, lines, &mut row[REACH..REACH + grid.width]);
        for distance in 0..REACH {
            row[REACH - 1 - distance] = row[REACH + distance.min(grid.width - 1)];
            row[REACH + grid.width + distance] = row[REACH + grid.width - 1 - distance.min(grid.width - 1)];
        }
        low_pass_across(isa, row, small.row_mut(y));
    }
    small
}

kernel! {
    fn low_pass_down [] [] (lines: [&[f32]; 9], out: &mut [f32]) {
        let width = out.len();
        let lines = lines.map(|line| &line[..width]);
        for x in 0..width {
            let mut sum = 0.0_f32;
            for tap in 0..9 {
                sum += LOW_PASS[tap] * lines[tap][x];
            }
            out[x] = sum;
        }
    }
}

kernel! {
    fn low_pass_across [] [] (row: &[f32], out: &mut [f32]) {
        for (x, out) in out.iter_mut().enumerate() {
            let mut sum = 0.0_f32;
            for tap in 0..9 {
                sum += LOW_PASS[tap] * row[2 * x + tap];
            }
            *out = sum;
        }
    }
}

/// Compares the windows of one row: five moments filtered down, then across.
fn compare_row(
    isa: Isa,
    reference: [&[f32]; 11],
    distorted: [&[f32]; 11],
    mut down: [&mut [f32]; 5],
    mut shown: [&mut [f32]; 4],
) {
    let (width, inner) = (down[0].len(), shown[0].len());
    let is_whole = reference.iter().chain(&distorted).all(|row| row.len() >= width);
    let is_whole =
        is_whole && down.iter().all(|row| row.len() == width) && shown.iter().all(|row| row.len() == inner);
    assert!(is_whole && width == inner + WINDOW.len() - 1, "invariant: rows are whole");
    if inner < VECTOR || wide::down(isa, &reference, &distorted, &mut down).is_none() {
        for x in 0..width {
            let moments = moments_at(&reference, &distorted, x);
            for (row, moment) in down.iter_mut().zip(moments) {
                row[x] = moment;
            }
        }
    }
    let rows = down.each_ref().map(|row| &**row);
    if inner < VECTOR || wide::across(isa, rows, &mut shown).is_none() {
        for x in 0..inner {
            let moments = rows.map(|row| {
                WINDOW.iter().zip(&row[x..]).fold(0.0_f32, |sum, (weight, value)| sum + weight * value)
            });
            for (row, part) in shown.iter_mut().zip(compared(moments)) {
                row[x] = part;
            }
        }
    }
}

/// Numbers in the widest vector.
const VECTOR: usize = 16;

/// Both pictures, their squares and their product at a column, filtered down.
fn moments_at(reference: &[&[f32]; 11], distorted: &[&[f32]; 11], x: usize) -> [f32; 5] {
    let mut sums = [0.0_f32; 5];
    for tap in 0..WINDOW.len() {
        let (r, d, weight) = (reference[tap][x], distorted[tap][x], WINDOW[tap]);
        for (sum, product) in sums.iter_mut().zip([r, d, r * r, d * d, r * d]) {
            *sum += weight * product;
        }
    }
    sums
}

/// SSIM, luminance, contrast and structure from the moments of a window.
fn compared([mu1, mu2, square1, square2, product]: [f32; 5]) -> [f32; 4] {
    let (var1, var2) = ((square1 - mu1 * mu1).max(0.0), (square2 - mu2 * mu2).max(0.0));
    let both = product - mu1 * mu2;
    let root = (var1 * var2).sqrt();
    let luminance = (2.0 * (mu1 * mu2) + C1) / (mu1 * mu1 + mu2 * mu2 + C1);
    let contrast = (2.0 * root + C2) / (var1 + var2 + C2);
    // Flat and equal: the covariance may be a hair below zero by rounding.
    let both = if root > 0.0 { both } else { both.max(0.0) };
    let structure = (both + C3) / (root + C3);
    [luminance * contrast * structure, luminance, contrast, structure]
}

/// The same in vectors.
#[allow(unsafe_code, reason = "vectors are loaded by address; lengths were checked")]
#[allow(clippy::needless_range_loop, reason = "one index into several arrays of registers")]
mod wide {
    use super::{C1, C2, C3, WINDOW};
    use crate::simd::simd_kernel;

    simd_kernel! {
        pub(super) fn down [] [] (
            simd; reference: &[&[f32]; 11], distorted: &[&[f32]; 11], out: &mut [&mut [f32]; 5],
        ) -> () {
            let width = out[0].len();
            let mut x = 0;
            loop {
                let mut sums = [simd.splat_f(0.0); 5];
                for tap in 0..WINDOW.len() {
                    // SAFETY: rows hold the width, and `x + LANES` is at most that.
                    let (r, d) = unsafe {
                        (simd.load_f(reference[tap].as_ptr().add(x)), simd.load_f(distorted[tap].as_ptr().add(x)))
                    };
                    let weight = simd.splat_f(WINDOW[tap]);
                    let products = [r, d, simd.mul_f(r, r), simd.mul_f(d, d), simd.mul_f(r, d)];
                    for moment in 0..5 {
                        sums[moment] = simd.add_f(sums[moment], simd.mul_f(weight, products[moment]));
                    }
                }
                for moment in 0..5 {
                    // SAFETY: as above.
                    unsafe { simd.store_f(sums[moment], out[moment].as_mut_ptr().add(x)) };
                }
                if x + S::LANES == width {
                    break;
                }
                x = (x + S::LANES).min(width - S::LANES);
            }
        }
    }

    simd_kernel! {
        pub(super) fn across [] [] (simd; rows: [&[f32]; 5], out: &mut [&mut [f32]; 4]) -> () {
            let width = out[0].len();
            let mut x = 0;
            loop {
                let mut sums = [simd.splat_f(0.0); 5];
                for tap in 0..WINDOW.len() {
                    let weight = simd.splat_f(WINDOW[tap]);
                    for moment in 0..5 {
                        // SAFETY: rows hold ten more than the width, and `x + LANES` is at most that.
                        let value = unsafe { simd.load_f(rows[moment].as_ptr().add(x + tap)) };
                        sums[moment] = simd.add_f(sums[moment], simd.mul_f(weight, value));
                    }
                }
                let [mu1, mu2, square1, square2, product] = sums;
                let zero = simd.splat_f(0.0);
                let (c1, c2, c3) = (simd.splat_f(C1), simd.splat_f(C2), simd.splat_f(C3));
                let two = simd.splat_f(2.0);
                let var1 = simd.max_f(simd.sub_f(square1, simd.mul_f(mu1, mu1)), zero);
                let var2 = simd.max_f(simd.sub_f(square2, simd.mul_f(mu2, mu2)), zero);
                let means = simd.mul_f(mu1, mu2);
                let both = simd.sub_f(product, means);
                let root = simd.sqrt_f(simd.mul_f(var1, var2));
                let squares = simd.add_f(simd.mul_f(mu1, mu1), simd.mul_f(mu2, mu2));
                let luminance = simd.div_f(simd.add_f(simd.mul_f(two, means), c1), simd.add_f(squares, c1));
                let contrast = simd.div_f(
                    simd.add_f(simd.mul_f(two, root), c2),
                    simd.add_f(simd.add_f(var1, var2), c2),
                );
                let both = simd.choose_f(root, both, simd.max_f(both, zero));
                let structure = simd.div_f(simd.add_f(both, c3), simd.add_f(root, c3));
                let shown = [
                    simd.mul_f(simd.mul_f(luminance, contrast), structure),
                    luminance,
                    contrast,
                    structure,
                ];
                for part in 0..4 {
                    // SAFETY: `x + LANES` is at most the width.
                    unsafe { simd.store_f(shown[part], out[part].as_mut_ptr().add(x)) };
                }
                if x + S::LANES == width {
                    break;
                }
                x = (x + S::LANES).min(width - S::LANES);
            }
        }
    }
}

kernel! {
    /// The sum of a row, in lanes.
    fn total [] [] (row: &[f32]) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let mut chunks = row.chunks_exact(LANES);
        for chunk in &mut chunks {
            for lane in 0..LANES {
                sums[lane] += f64::from(chunk[lane]);
            }
        }
        for (sum, &value) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += f64::from(value);
        }
        sums.iter().sum()
    }
}
