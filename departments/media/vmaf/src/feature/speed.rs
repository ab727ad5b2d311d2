//! SpEED of the chroma planes: what the distorted picture loses of the local entropy of colour (Bampis, Gupta,
//! Soundararajan and Bovik, IEEE Signal Processing Letters 2017, as VMAF v1 uses it).
//!
//! A plane is low-passed and kept at every sixteenth row and column, and its local mean is taken off. Over the small
//! picture that remains, the covariance `K` of 5x5 neighbourhoods is estimated; a block `y` then has the variance
//! `s = yᵀK⁻¹y / 25` and the entropy `Σ log2(λs + σ) + log2(2πe)` over the eigenvalues `λ` of `K`. A block's score is the
//! difference of the two pictures' entropies, each weighted by its variance, unless both are below the noise.
//!
//! libvmaf computes in single precision and filters all rows; here it is double precision and the rows that are kept. The
//! results agree to about five parts in a million.

use backlot_frames::{Format, Frame, Pixels};

use super::psnr::plane_size;
use super::spec::Values;
use crate::Error;
use crate::kernel::mirror;

/// Rows and columns are kept one in so many.
const KEEP: usize = 16;
/// Side of a block.
const BLOCK: usize = 5;
/// Samples of a block.
const AREA: usize = BLOCK * BLOCK;
/// A covariance with a smaller eigenvalue cannot be inverted.
const LEAST_EIGENVALUE: f64 = 1e-6;
/// Sweeps of the eigenvalue iteration; it converges in fewer than ten.
const MAX_SWEEPS: usize = 60;

/// How a plane is resized first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resize {
    Nearest,
    Bilinear,
}

/// Options of one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpeedOptions {
    kernel_scale: f64,
    prescale: f64,
    resize: Resize,
    noise: f64,
    noise_floor: f64,
    pub(crate) max: f64,
    weights: i64,
}

impl SpeedOptions {
    pub(crate) fn new(values: &Values, format: Format) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Options { feature: "speed_chroma", reason };
        if format.subsampling().planes() == 1 {
            let reason = "it measures chroma, and there is none; take another model or feature";
            return Err(Error::Unsupported { feature: "speed_chroma", format, reason });
        }
        let prescale = values.number("speed_prescale");
        let resize = match values.text("speed_prescale_method") {
            "nearest" => Resize::Nearest,
            "bilinear" => Resize::Bilinear,
            other => {
                return Err(wrong(format!(
                    "speed_prescale_method {other:?} is not built; it is nearest or bilinear"
                )));
            }
        };
        let options = Self {
            kernel_scale: values.number("speed_kernelscale"),
            prescale,
            resize,
            noise: values.number("speed_sigma_nn"),
            noise_floor: values.number("speed_nn_floor"),
            max: values.number("speed_max_val"),
            weights: values.integer("speed_weight_var_mode"),
        };
        let (width, height) = options.scaled(plane_size(format, 1));
        if width / KEEP < 2 * BLOCK - 1 || height / KEEP < 2 * BLOCK - 1 {
            // Fewer neighbourhoods cannot give a covariance of 25 samples; libvmaf refuses less than one block.
            if width / KEEP < BLOCK || height / KEEP < BLOCK {
                let min = (KEEP * BLOCK) as f64 / options.prescale * width_ratio(format);
                return Err(Error::TooSmall { feature: "speed_chroma", min: min.ceil() as usize, format });
            }
        }
        Ok(options)
    }

    fn scaled(&self, (width, height): (usize, usize)) -> (usize, usize) {
        let scale = |side: usize| (side as f64 * self.prescale + 0.5) as usize;
        if self.has_prescale() { (scale(width), scale(height)) } else { (width, height) }
    }

    fn has_prescale(&self) -> bool {
        (self.prescale - 1.0).abs() >= 1e-3
    }

    /// Weights of the variances of reference and distorted in the distorted picture's term, and in the reference's.
    fn mixes(&self) -> [(f64, f64); 2] {
        let (own, other) = ((1.0, 0.0), (0.0, 1.0));
        match self.weights {
            1 => [own, own],
            2 => [other, other],
            3 => [(0.5, 0.5), (0.5, 0.5)],
            4 => [own, (0.5, 0.5)],
            5 => [own, (0.75, 0.25)],
            6 => [own, (0.25, 0.75)],
            _ => [own, other],
        }
    }
}

/// Luma samples for one chroma sample across.
fn width_ratio(format: Format) -> f64 {
    format.width() as f64 / plane_size(format, 1).0.max(1) as f64
}

/// What is known of a plane: variance and entropy by block; nothing where its covariance cannot be inverted.
struct Blocks {
    variances: Vec<f64>,
    entropies: Vec<f64>,
}

/// Scores of the two chroma planes and of both, before the limit.
pub(crate) fn scores(options: &SpeedOptions, reference: &Frame, distorted: &Frame) -> [f64; 3] {
    let [u, v] = [1, 2].map(|plane| plane_score(options, reference, distorted, plane));
    let (u_score, v_score) = (u.unwrap_or(0.0), v.unwrap_or(0.0));
    // A plane that cannot be measured takes the other's score.
    let both = match (u, v) {
        (None, Some(v)) => v,
        (Some(u), None) => u,
        _ => f64::midpoint(u_score, v_score),
    };
    [u_score, v_score, both]
}

/// The score of one plane; nothing where either picture's covariance cannot be inverted.
fn plane_score(options: &SpeedOptions, reference: &Frame, distorted: &Frame, plane: usize) -> Option<f64> {
    let reference = blocks(options, &residual(options, reference, plane))?;
    let distorted = blocks(options, &residual(options, distorted, plane))?;
    let entropy_of_one = (std::f64::consts::TAU * std::f64::consts::E).log2();
    let base = AREA as f64 * (((1.0 + options.noise_floor) * options.noise).log2() + entropy_of_one);
    let [own, other] = options.mixes();
    let count = reference.variances.len();
    let mut sum = 0.0;
    for block in 0..count {
        let (first, second) = (reference.entropies[block], distorted.entropies[block]);
        if first < base && second < base {
            continue;
        }
        let (s1, s2) = (reference.variances[block], distorted.variances[block]);
        let weight = |(a, b): (f64, f64)| (1.0 + a * s1 + b * s2).log2();
        sum += (first * weight(own) - second * weight(other)).abs();
    }
    Some(sum / count as f64)
}

/// The small picture: `width` by `height`, row by row.
struct Small {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

/// A Gaussian kernel of `size` taps.
fn gaussian(size: usize, deviation: f64) -> Vec<f64> {
    let middle = (size / 2) as f64;
    let taps: Vec<f64> =
        (0..size).map(|tap| (-0.5 * ((tap as f64 - middle) / deviation).powi(2)).exp()).collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / sum).collect()
}

/// Taps of the kernel of scale `scale`: odd, at least three.
fn kernel_size(scale: u32, kernel_scale: f64) -> usize {
    let size = (f64::from((1_u32 << (4 - scale)) + 1) * kernel_scale).ceil() as usize;
    (size | 1).max(3)
}

/// The plane low-passed, kept at every sixteenth row and column, without its local mean.
fn residual(options: &SpeedOptions, frame: &Frame, plane: usize) -> Small {
    let format = frame.format();
    let own = plane_size(format, plane);
    let (width, height) = options.scaled(own);
    let scale = 1.0 / f64::from(1_u32 << (format.depth().bits() - 8));
    let source = |y: usize| -> Vec<f64> {
        let to_value = |sample: u16| f64::from(sample) * scale - 128.0;
        match frame.pixels() {
            Pixels::Eight(planes) => {
                planes[plane].row(y)[..own.0].iter().map(|&sample| to_value(sample.into())).collect()
            }
            Pixels::Deep(planes) => {
                planes[plane].row(y)[..own.0].iter().map(|&sample| to_value(sample)).collect()
            }
        }
    };
    let row = |y: usize| {
        if options.has_prescale() {
            resized(options.resize, &source, own, (width, height), y)
        } else {
            source(y)
        }
    };
    let size = kernel_size(1, options.kernel_scale);
    let taps = gaussian(size, 2.0 * size as f64 / 5.0);
    let (small_width, small_height) = (width / KEEP, height / KEEP);
    let mut kept = Vec::with_capacity(small_width * small_height);
    let mut filtered = vec![0.0; width];
    for y in 0..small_height {
        filtered.fill(0.0);
        for (tap, weight) in taps.iter().enumerate() {
            let from = mirror((y * KEEP + tap) as isize - (size / 2) as isize, height);
            for (sum, value) in filtered.iter_mut().zip(row(from)) {
                *sum += weight * value;
            }
        }
        for x in 0..small_width {
            let at = |tap: usize| filtered[mirror((x * KEEP + tap) as isize - (size / 2) as isize, width)];
            kept.push(taps.iter().enumerate().map(|(tap, weight)| weight * at(tap)).sum());
        }
    }
    let small = Small { width: small_width, height: small_height, values: kept };
    let size = kernel_size(4, options.kernel_scale);
    let means = separable(&small, &gaussian(size, size as f64 / 5.0));
    let single = |value: f64| f64::from(value as f32);
    let values =
        small.values.iter().zip(means).map(|(&value, mean)| single(single(value) - single(mean))).collect();
    Small { values, ..small }
}

fn separable(small: &Small, taps: &[f64]) -> Vec<f64> {
    let reach = (taps.len() / 2) as isize;
    let (width, height) = (small.width, small.height);
    let mut down = vec![0.0; width * height];
    for y in 0..height {
        for x in 0..width {
            let at = |tap: usize| small.values[mirror(y as isize + tap as isize - reach, height) * width + x];
            down[y * width + x] = taps.iter().enumerate().map(|(tap, weight)| weight * at(tap)).sum();
        }
    }
    let mut across = vec![0.0; width * height];
    for y in 0..height {
        for x in 0..width {
            let at = |tap: usize| down[y * width + mirror(x as isize + tap as isize - reach, width)];
            across[y * width + x] = taps.iter().enumerate().map(|(tap, weight)| weight * at(tap)).sum();
        }
    }
    across
}

/// Row `y` of a plane resized from `own` to `wanted`. Positions are single precision, as libvmaf has them.
fn resized(
    method: Resize,
    source: &impl Fn(usize) -> Vec<f64>,
    own: (usize, usize),
    wanted: (usize, usize),
    y: usize,
) -> Vec<f64> {
    let ratio = (own.0 as f32 / wanted.0 as f32, own.1 as f32 / wanted.1 as f32);
    match method {
        Resize::Nearest => {
            let row = source(((y as f32 * ratio.1) as usize).min(own.1 - 1));
            (0..wanted.0).map(|x| row[((x as f32 * ratio.0) as usize).min(own.0 - 1)]).collect()
        }
        Resize::Bilinear => {
            let between = |place: usize, ratio: f32, n: usize| {
                let at = ((place as f64 + 0.5) * f64::from(ratio) - 0.5) as f32;
                let (first, second) = (mirror(at.floor() as isize, n), mirror(at.ceil() as isize, n));
                (first, second, f64::from(at - first as f32))
            };
            let (above, below, down) = between(y, ratio.1, own.1);
            let (above, below) = (source(above), source(below));
            let value = |x: usize| {
                let (left, right, across) = between(x, ratio.0, own.0);
                (1.0 - down) * ((1.0 - across) * above[left] + across * above[right])
                    + down * ((1.0 - across) * below[left] + across * below[right])
            };
            (0..wanted.0).map(value).collect()
        }
    }
}

/// Variances and entropies of the blocks; nothing where the covariance cannot be inverted.
fn blocks(options: &SpeedOptions, small: &Small) -> Option<Blocks> {
    let (across, down) = (small.width / BLOCK, small.height / BLOCK);
    let covariance = covariance(small, across * BLOCK, down * BLOCK);
    let eigenvalues = eigenvalues(covariance.clone());
    if eigenvalues.iter().any(|&value| value < LEAST_EIGENVALUE) {
        return None;
    }
    let inverse = Cholesky::new(&covariance)?;
    let entropy_of_one = (std::f64::consts::TAU * std::f64::consts::E).log2();
    let mut blocks = Blocks { variances: Vec::new(), entropies: Vec::new() };
    for block_y in 0..down {
        for block_x in 0..across {
            let at = |sample: usize| {
                let (y, x) = (block_y * BLOCK + sample / BLOCK, block_x * BLOCK + sample % BLOCK);
                small.values[y * small.width + x]
            };
            let values: [f64; AREA] = std::array::from_fn(at);
            let variance = inverse.square(&values) / AREA as f64;
            let entropy = |eigenvalue: &f64| (eigenvalue * variance + options.noise).log2() + entropy_of_one;
            blocks.entropies.push(eigenvalues.iter().map(entropy).sum());
            blocks.variances.push(variance);
        }
    }
    Some(blocks)
}

type Matrix = Vec<[f64; AREA]>;

/// Covariance of the samples of 5x5 neighbourhoods at all places of the top left `width` by `height`.
fn covariance(small: &Small, width: usize, height: usize) -> Matrix {
    let (places_x, places_y) = (width - BLOCK + 1, height - BLOCK + 1);
    let count = (places_x * places_y) as f64;
    let line = |sample: usize, y: usize| {
        let start = (y + sample / BLOCK) * small.width + sample % BLOCK;
        &small.values[start..start + places_x]
    };
    let mean =
        |sample: usize| (0..places_y).map(|y| line(sample, y).iter().sum::<f64>()).sum::<f64>() / count;
    let means: [f64; AREA] = std::array::from_fn(mean);
    let mut matrix = vec![[0.0; AREA]; AREA];
    for first in 0..AREA {
        for second in 0..=first {
            let mut sum = 0.0;
            for y in 0..places_y {
                let pairs = line(first, y).iter().zip(line(second, y));
                sum += pairs.map(|(a, b)| (a - means[first]) * (b - means[second])).sum::<f64>();
            }
            // Single precision, as libvmaf keeps it: where a covariance is nearly singular, this rounding decides.
            let entry = f64::from((sum / count) as f32);
            matrix[first][second] = entry;
            matrix[second][first] = entry;
        }
    }
    matrix
}

/// Eigenvalues of a symmetric matrix, by Jacobi's rotations.
fn eigenvalues(mut a: Matrix) -> Vec<f64> {
    let n = a.len();
    for _ in 0..MAX_SWEEPS {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        let on: f64 = (0..n).map(|i| a[i][i] * a[i][i]).sum();
        if off <= on * 1e-26 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, p, q);
            }
        }
    }
    (0..n).map(|i| a[i][i]).collect()
}

/// Makes element `(p, q)` zero.
fn rotate(a: &mut Matrix, p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for row in a.iter_mut() {
        let (x, y) = (row[p], row[q]);
        row[p] = c * x - s * y;
        row[q] = s * x + c * y;
    }
    let (first, second) = (a[p], a[q]);
    for (k, (x, y)) in first.into_iter().zip(second).enumerate() {
        a[p][k] = c * x - s * y;
        a[q][k] = s * x + c * y;
    }
}

/// The lower triangle `L` of `LLᵀ`.
struct Cholesky(Matrix);

impl Cholesky {
    /// The factor of a positive definite matrix.
    fn new(a: &Matrix) -> Option<Self> {
        let n = a.len();
        let mut lower = vec![[0.0; AREA]; n];
        for i in 0..n {
            for j in 0..=i {
                let inner: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
                let rest = a[i][j] - inner;
                if i == j {
                    if rest <= 0.0 {
                        return None;
                    }
                    lower[i][i] = rest.sqrt();
                } else {
                    lower[i][j] = rest / lower[j][j];
                }
            }
        }
        Some(Self(lower))
    }

    /// `yᵀ A⁻¹ y`.
    fn square(&self, y: &[f64; AREA]) -> f64 {
        let mut solved = [0.0; AREA];
        for i in 0..AREA {
            let inner: f64 = (0..i).map(|k| self.0[i][k] * solved[k]).sum();
            solved[i] = (y[i] - inner) / self.0[i][i];
        }
        solved.iter().map(|value| value * value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_and_squares_fit_the_matrix() {
        // Positive definite: a diagonal and neighbours.
        let a: Matrix = (0..AREA)
            .map(|i| {
                std::array::from_fn(|j| {
                    if i == j {
                        4.0 + i as f64
                    } else if i.abs_diff(j) == 1 {
                        1.0
                    } else {
                        0.0
                    }
                })
            })
            .collect();
        let values = eigenvalues(a.clone());
        let trace: f64 = (0..AREA).map(|i| a[i][i]).sum();
        assert!((values.iter().sum::<f64>() - trace).abs() < 1e-9);
        let factor = Cholesky::new(&a).unwrap();
        let determinant: f64 = (0..AREA).map(|i| factor.0[i][i].ln() * 2.0).sum();
        assert!((values.iter().map(|value| value.ln()).sum::<f64>() - determinant).abs() < 1e-9);
        let x: [f64; AREA] = std::array::from_fn(|i| (i % 3) as f64 - 1.0);
        let y: [f64; AREA] = std::array::from_fn(|i| (0..AREA).map(|j| a[i][j] * x[j]).sum());
        let expected: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
        assert!((factor.square(&y) - expected).abs() < 1e-9);
    }

    #[test]
    fn kernels_have_the_published_sizes() {
        assert_eq!((kernel_size(1, 1.0), kernel_size(4, 1.0), kernel_size(1, 2.0)), (9, 3, 19));
        assert!((gaussian(9, 3.6).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
