//! SSIM and MS-SSIM of luma (Wang, Bovik, Sheikh and Simoncelli 2004; Wang, Simoncelli and Bovik 2003), as libvmaf's
//! `float_ssim` and `float_ms_ssim` compute them.
//!
//! Samples are brought to the range of eight bits. An 11-tap Gaussian window, where it fits wholly into the picture, gives
//! means, variances and the covariance; luminance, contrast and structure are averaged each and multiplied per window.
//! SSIM works on a picture averaged down to about 256 lines, MS-SSIM at five scales of a wavelet low-pass.
//!
//! Where a picture is flat, variances are differences of numbers that agree in all their digits but the last, so roundings
//! are libvmaf's: products in single precision, their sums in double, across first and then down, the result in single.

use backlot_frames::{Format, Frame};

use super::spec::Values;
use crate::Error;
use crate::isa::{Isa, kernel};
use crate::kernel::{Grid, LANES, take_luma, total};

const WINDOW: [f32; 11] = [
    0.001_028, 0.007_599, 0.036_001, 0.109_361, 0.213_006, 0.266_012, 0.213_006, 0.109_361, 0.036_001,
    0.007_599, 0.001_028,
];
/// The 9/7 wavelet's low-pass in two dimensions to six decimals, from its middle to its corner.
const LOW_PASS: [[f32; 5]; 5] = [
    [0.363_505, 0.160_885, -0.047_149, -0.010_146, 0.016_114],
    [0.160_885, 0.071_207, -0.020_867, -0.004_490, 0.007_132],
    [-0.047_149, -0.020_867, 0.006_115, 0.001_316, -0.002_090],
    [-0.010_146, -0.004_490, 0.001_316, 0.000_283, -0.000_450],
    [0.016_114, 0.007_132, -0.002_090, -0.000_450, 0.000_714],
];
/// Taps of the low-pass on each side of its middle.
const REACH: usize = LOW_PASS.len() - 1;
const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);
const C3: f32 = C2 / 2.0;
const SCALES: usize = 5;
/// Exponents of contrast and structure by scale; luminance counts at the last only.
const EXPONENTS: [f32; SCALES] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Options of SSIM and MS-SSIM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SsimOptions {
    pub(crate) parts: bool,
    decibel: bool,
    most: f64,
    /// Lines and columns that become one.
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
        let chosen = if has_scale { values.integer("scale") as usize } else { 0 };
        let short = format.width().min(format.height()) as f32;
        let scale = if chosen > 0 { chosen } else { ((short / 256.0 + 0.5) as usize).max(1) };
        Self { parts: values.flag("enable_lcs"), decibel: values.flag("enable_db"), most, scale }
    }

    /// The score as it is reported.
    pub(crate) fn shown(&self, score: f64) -> f64 {
        if self.decibel { (-10.0 * (1.0 - score).log10()).min(self.most) } else { score }
    }

    /// SSIM and its parts as they are reported.
    pub(crate) fn shown_parts(&self, parts: Parts) -> [f64; 4] {
        [self.shown(parts.ssim), parts.luminance, parts.contrast, parts.structure]
    }

    /// Whether SSIM works on the picture as it is, where MS-SSIM has its first scale.
    pub(crate) fn is_unscaled(&self) -> bool {
        self.scale == 1
    }

    /// Whether a window fits into the picture that SSIM works on.
    pub(crate) fn check(&self, format: Format) -> Result<(), Error> {
        let min = WINDOW.len() * self.scale;
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
    /// Squares of a row of both pictures, and their product.
    products: [Vec<f32>; 3],
    /// The last rows filtered across: both pictures, their squares, their product; row `y` at `y` modulo their number.
    across: [Grid<f32>; 5],
    /// A row of windows: the same, filtered down too.
    moments: [Vec<f32>; 5],
    /// SSIM, luminance, contrast and structure of a row of windows.
    shown: [Vec<f64>; 4],
    /// A picture's columns with its borders continued: those that even taps of the low-pass meet, and odd ones.
    columns: [Grid<f32>; 2],
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
        self.take(reference, distorted);
        if !options.is_unscaled() {
            self.reference = averaged(&self.reference, options.scale);
            self.distorted = averaged(&self.distorted, options.scale);
        }
        self.parts(isa)
    }

    /// MS-SSIM, and the parts of each scale, the first of which may be known.
    pub(crate) fn multiple(
        &mut self,
        isa: Isa,
        first: Option<Parts>,
        reference: &Frame,
        distorted: &Frame,
    ) -> (f64, [Parts; SCALES]) {
        self.take(reference, distorted);
        let mut score = 1.0;
        let mut parts = [Parts::default(); SCALES];
        for (scale, exponent) in EXPONENTS.into_iter().enumerate() {
            if scale > 0 {
                self.reference = low_passed(isa, &self.reference, &mut self.columns);
                self.distorted = low_passed(isa, &self.distorted, &mut self.columns);
            }
            let known = first.filter(|_| scale == 0);
            let one = known.unwrap_or_else(|| self.parts(isa));
            let exponent = f64::from(exponent);
            let luminance = if scale == SCALES - 1 { one.luminance.powf(exponent) } else { 1.0 };
            score *= luminance * one.contrast.powf(exponent) * one.structure.powf(exponent);
            parts[scale] = one;
        }
        (score, parts)
    }

    fn take(&mut self, reference: &Frame, distorted: &Frame) {
        take_luma(&mut self.reference, reference);
        take_luma(&mut self.distorted, distorted);
    }

    fn parts(&mut self, isa: Isa) -> Parts {
        let (width, height) = (self.reference.width, self.reference.height);
        let (inner_width, inner_height) = (width + 1 - WINDOW.len(), height + 1 - WINDOW.len());
        for row in &mut self.products {
            row.resize(width, 0.0);
        }
        for grid in &mut self.across {
            grid.resize(inner_width, WINDOW.len());
        }
        for row in &mut self.moments {
            row.resize(inner_width, 0.0);
        }
        for row in &mut self.shown {
            row.resize(inner_width, 0.0);
        }
        let mut sums = [0.0_f64; 4];
        for y in 0..height {
            let (reference, distorted) = (self.reference.row(y), self.distorted.row(y));
            multiply(isa, reference, distorted, self.products.each_mut().map(Vec::as_mut_slice));
            let [squares1, squares2, product] = self.products.each_ref().map(Vec::as_slice);
            for (row, across) in
                [reference, distorted, squares1, squares2, product].into_iter().zip(&mut self.across)
            {
                let lines: [&[f32]; WINDOW.len()] = std::array::from_fn(|tap| &row[tap..tap + inner_width]);
                convolve(isa, &lines, &WINDOW, across.row_mut(y % WINDOW.len()));
            }
            if y + 1 < WINDOW.len() {
                continue;
            }
            for (across, moment) in self.across.iter().zip(&mut self.moments) {
                let lines: [&[f32]; WINDOW.len()] =
                    std::array::from_fn(|tap| across.row((y + 1 + tap) % WINDOW.len()));
                convolve(isa, &lines, &WINDOW, moment);
            }
            let moments = self.moments.each_ref().map(Vec::as_slice);
            compared(isa, moments, self.shown.each_mut().map(Vec::as_mut_slice));
            for (sum, row) in sums.iter_mut().zip(&self.shown) {
                *sum += total(isa, row);
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
fn low_passed(isa: Isa, grid: &Grid<f32>, columns: &mut [Grid<f32>; 2]) -> Grid<f32> {
    const SIDE: usize = 2 * REACH + 1;
    let weight = |tap: usize| LOW_PASS[(tap / SIDE).abs_diff(REACH)][(tap % SIDE).abs_diff(REACH)];
    let weights: [f32; SIDE * SIDE] = std::array::from_fn(weight);
    let mut small = Grid::default();
    small.resize(decimated(grid.width, 2), decimated(grid.height, 2));
    for (odd, columns) in columns.iter_mut().enumerate() {
        columns.resize(small.width + REACH, grid.height);
        for y in 0..grid.height {
            let (row, columns) = (grid.row(y), columns.row_mut(y));
            let whole = row.get(odd..).unwrap_or_default().iter().step_by(2);
            let (first, end) = (REACH / 2, REACH / 2 + whole.len());
            columns[first..end].iter_mut().zip(whole).for_each(|(out, &value)| *out = value);
            for x in (0..first).chain(end..columns.len()) {
                columns[x] = row[reflect((2 * x + odd) as isize - REACH as isize, grid.width)];
            }
        }
    }
    for y in 0..small.height {
        let lines: [&[f32]; SIDE * SIDE] = std::array::from_fn(|tap| {
            let (down, across) = (tap / SIDE, tap % SIDE);
            let from = reflect((2 * y + down) as isize - REACH as isize, grid.height);
            &columns[across % 2].row(from)[across / 2..][..small.width]
        });
        convolve(isa, &lines, &weights, small.row_mut(y));
    }
    small
}

kernel! {
    fn multiply [] [] (reference: &[f32], distorted: &[f32], out: [&mut [f32]; 3]) {
        let [squares1, squares2, product] = out;
        let width = product.len();
        let (reference, distorted) = (&reference[..width], &distorted[..width]);
        let (squares1, squares2) = (&mut squares1[..width], &mut squares2[..width]);
        for x in 0..width {
            let (r, d) = (reference[x], distorted[x]);
            (squares1[x], squares2[x], product[x]) = (r * r, d * d, r * d);
        }
    }
}

kernel! {
    /// Sums of `lines`, each times its weight.
    fn convolve [const N: usize] [N] (lines: &[&[f32]; N], weights: &[f32; N], out: &mut [f32]) {
        let width = out.len();
        let lines = lines.map(|line| &line[..width]);
        let mut x = 0;
        while x + LANES <= width {
            let mut sums = [0.0_f64; LANES];
            for tap in 0..N {
                let line = &lines[tap][x..x + LANES];
                for lane in 0..LANES {
                    sums[lane] += f64::from(line[lane] * weights[tap]);
                }
            }
            let out = &mut out[x..x + LANES];
            for lane in 0..LANES {
                out[lane] = sums[lane] as f32;
            }
            x += LANES;
        }
        for x in x..width {
            let mut sum = 0.0_f64;
            for tap in 0..N {
                sum += f64::from(lines[tap][x] * weights[tap]);
            }
            out[x] = sum as f32;
        }
    }
}

kernel! {
    /// SSIM, luminance, contrast and structure of a row of windows from their moments.
    fn compared [] [] (moments: [&[f32]; 5], shown: [&mut [f64]; 4]) {
        let [ssim, luminance, contrast, structure] = shown;
        let width = ssim.len();
        let [mu1, mu2, squares1, squares2, products] = moments.map(|row| &row[..width]);
        let (luminance, contrast, structure) =
            (&mut luminance[..width], &mut contrast[..width], &mut structure[..width]);
        for x in 0..width {
            let (mu1, mu2) = (mu1[x], mu2[x]);
            let var1 = (squares1[x] - mu1 * mu1).max(0.0);
            let var2 = (squares2[x] - mu2 * mu2).max(0.0);
            let both = products[x] - mu1 * mu2;
            let root = (var1 * var2).sqrt();
            // Flat and equal: the covariance may be a hair below zero by rounding.
            let both = if root > 0.0 { both } else { both.max(0.0) };
            luminance[x] = (2.0 * f64::from(mu1) * f64::from(mu2) + f64::from(C1))
                / f64::from(mu1 * mu1 + mu2 * mu2 + C1);
            contrast[x] = (2.0 * f64::from(root) + f64::from(C2)) / f64::from(var1 + var2 + C2);
            structure[x] = f64::from((both + C3) / (root + C3));
            ssim[x] = luminance[x] * contrast[x] * structure[x];
        }
    }
}
