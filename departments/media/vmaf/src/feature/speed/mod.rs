//! SpEED of the chroma planes: what the distorted picture loses of the local entropy of colour (Bampis, Gupta,
//! Soundararajan and Bovik, IEEE Signal Processing Letters 2017, as VMAF v1 uses it).
//!
//! A plane is low-passed and kept at every sixteenth row and column, and its local mean is taken off. Over the small
//! picture that remains, the covariance `K` of 5x5 neighbourhoods is estimated; a block `y` then has the variance
//! `s = yᵀK⁻¹y / 25` and the entropy `Σ log2(λs + σ) + log2(2πe)` over the eigenvalues `λ` of `K`. A block's score is the
//! difference of the two pictures' entropies, each weighted by its variance, unless both are below the noise.
//!
//! Arithmetic is single precision in libvmaf's order, because nearly flat chroma makes `K` nearly singular; but only the
//! rows that are kept are filtered.

mod algebra;

use backlot_frames::{Format, Frame, Pixels};

use self::algebra::{Columns, LEAST, Matrix, eigenvalues, solved};
use super::psnr::plane_size;
use super::spec::Values;
use crate::Error;
use crate::kernel::{gaussian, gaussian_size, mirror};

/// Rows and columns are kept one in so many.
const KEEP: usize = 16;
/// Side of a block.
const BLOCK: usize = 5;
/// Samples of a block.
const AREA: usize = BLOCK * BLOCK;

/// How a plane is resized first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resize {
    Nearest,
    Bilinear,
}

/// Options of one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpeedOptions {
    kernel_scale: f32,
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
            kernel_scale: values.number("speed_kernelscale") as f32,
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

    /// How variances weigh the reference's entropy, and the distorted picture's.
    fn mixes(&self) -> [Mix; 2] {
        let mixed = |a, b| Mix::Both(a, b);
        match self.weights {
            1 => [Mix::Reference, Mix::Reference],
            2 => [Mix::Distorted, Mix::Distorted],
            3 => [mixed(0.5, 0.5), mixed(0.5, 0.5)],
            4 => [Mix::Reference, mixed(0.5, 0.5)],
            5 => [Mix::Reference, mixed(0.75, 0.25)],
            6 => [Mix::Reference, mixed(0.25, 0.75)],
            _ => [Mix::Reference, Mix::Distorted],
        }
    }
}

/// Whose variance weighs an entropy.
#[derive(Clone, Copy)]
enum Mix {
    Reference,
    Distorted,
    /// Shares of the reference's and of the distorted picture's.
    Both(f64, f64),
}

impl Mix {
    /// One and the variance; one variance is added in single precision, a mixture in double.
    fn of(self, reference: f32, distorted: f32) -> f64 {
        match self {
            Self::Reference => f64::from(1.0 + reference),
            Self::Distorted => f64::from(1.0 + distorted),
            Self::Both(a, b) => 1.0 + (a * f64::from(reference) + b * f64::from(distorted)),
        }
    }
}

/// Luma samples for one chroma sample across.
fn width_ratio(format: Format) -> f64 {
    format.width() as f64 / plane_size(format, 1).0.max(1) as f64
}

/// What is known of a plane: variance and entropy by block; nothing where its covariance cannot be inverted.
struct Blocks {
    variances: Vec<f32>,
    entropies: Vec<f32>,
}

/// Scores of the two chroma planes and of both, before the limit.
pub(crate) fn scores(options: &SpeedOptions, reference: &Frame, distorted: &Frame) -> [f64; 3] {
    let [u, v] = [1, 2].map(|plane| plane_score(options, reference, distorted, plane));
    let (u_score, v_score) = (u.unwrap_or(0.0), v.unwrap_or(0.0));
    // A plane that cannot be measured takes the other's score.
    let both = match (u, v) {
        (None, Some(v)) => v,
        (Some(u), None) => u,
        _ => f32::midpoint(u_score, v_score),
    };
    [u_score, v_score, both].map(f64::from)
}

/// The bits of a standard normal variable.
fn entropy_of_one() -> f64 {
    (std::f64::consts::TAU * std::f64::consts::E).log2()
}

/// The score of one plane; nothing where either picture's covariance cannot be inverted.
fn plane_score(options: &SpeedOptions, reference: &Frame, distorted: &Frame, plane: usize) -> Option<f32> {
    let reference = blocks(options, &residual(options, reference, plane))?;
    let distorted = blocks(options, &residual(options, distorted, plane))?;
    let floor = (1.0 + options.noise_floor as f32) * options.noise as f32;
    let base = (AREA as f64 * (f64::from(floor).log2() + entropy_of_one())) as f32;
    let [own, other] = options.mixes();
    let count = reference.variances.len();
    let mut sum = 0.0_f32;
    for block in 0..count {
        let (first, second) = (reference.entropies[block], distorted.entropies[block]);
        if first < base && second < base {
            continue;
        }
        let (s1, s2) = (reference.variances[block], distorted.variances[block]);
        let weighted = |entropy: f32, mix: Mix| (f64::from(entropy) * mix.of(s1, s2).log2()) as f32;
        sum += (weighted(first, own) - weighted(second, other)).abs();
    }
    Some(sum / count as f32)
}

/// The small picture: `width` by `height`, row by row.
struct Small {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// The plane low-passed, kept at every sixteenth row and column, without its local mean.
fn residual(options: &SpeedOptions, frame: &Frame, plane: usize) -> Small {
    let format = frame.format();
    let own = plane_size(format, plane);
    let (width, height) = options.scaled(own);
    let scale = 1.0 / (1_u32 << (format.depth().bits() - 8)) as f32;
    let source = |y: usize| -> Vec<f32> {
        let to_value = |sample: u16| f32::from(sample) * scale - 128.0;
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
    let size = gaussian_size(1, options.kernel_scale);
    let taps = gaussian(size, (2.0 * size as f64 / 5.0) as f32);
    let (small_width, small_height) = (width / KEEP, height / KEEP);
    let mut values = Vec::with_capacity(small_width * small_height);
    let mut filtered = vec![0.0; width];
    for y in 0..small_height {
        filtered.fill(0.0);
        for (tap, weight) in taps.iter().enumerate() {
            let from = mirror((y * KEEP + tap) as isize - (size / 2) as isize, height);
            for (sum, value) in filtered.iter_mut().zip(row(from)) {
                *sum += weight * value;
            }
        }
        values.extend((0..small_width).map(|x| weighted(&taps, |at| filtered[mirror(at, width)], x * KEEP)));
    }
    let mut small = Small { width: small_width, height: small_height, values };
    let size = gaussian_size(4, options.kernel_scale);
    let means = separable(&small, &gaussian(size, size as f32 / 5.0));
    for (value, mean) in small.values.iter_mut().zip(means) {
        *value -= mean;
    }
    small
}

/// The weighted sum of what lies around place `middle`.
fn weighted(taps: &[f32], value: impl Fn(isize) -> f32, middle: usize) -> f32 {
    let first = middle as isize - (taps.len() / 2) as isize;
    taps.iter().zip(first..).fold(0.0, |sum, (tap, at)| sum + tap * value(at))
}

fn separable(small: &Small, taps: &[f32]) -> Vec<f32> {
    let (width, height) = (small.width, small.height);
    let mut across = Vec::with_capacity(width * height);
    for y in 0..height {
        let down = |x: usize| weighted(taps, |at| small.values[mirror(at, height) * width + x], y);
        let down: Vec<f32> = (0..width).map(down).collect();
        across.extend((0..width).map(|x| weighted(taps, |at| down[mirror(at, width)], x)));
    }
    across
}

/// Row `y` of a plane resized from `own` to `wanted`.
fn resized(
    method: Resize,
    source: &impl Fn(usize) -> Vec<f32>,
    own: (usize, usize),
    wanted: (usize, usize),
    y: usize,
) -> Vec<f32> {
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
                (first, second, at - first as f32)
            };
            let (above, below, down) = between(y, ratio.1, own.1);
            let (above, below) = (source(above), source(below));
            let value = |x: usize| {
                let (left, right, across) = between(x, ratio.0, own.0);
                (1.0 - down) * (1.0 - across) * above[left]
                    + (1.0 - down) * across * above[right]
                    + down * (1.0 - across) * below[left]
                    + down * across * below[right]
            };
            (0..wanted.0).map(value).collect()
        }
    }
}

/// Variances and entropies of the blocks; nothing where the covariance cannot be inverted.
fn blocks(options: &SpeedOptions, small: &Small) -> Option<Blocks> {
    let (across, down) = (small.width / BLOCK, small.height / BLOCK);
    let covariance = covariance(small, across * BLOCK, down * BLOCK);
    let eigenvalues = eigenvalues(&covariance);
    if eigenvalues.iter().any(|&value| f64::from(value) < LEAST) {
        return None;
    }
    let mut samples = Columns::new(across * down);
    for place in 0..AREA {
        let row = samples.row_mut(place);
        for block_y in 0..down {
            let line = &small.values[(block_y * BLOCK + place / BLOCK) * small.width..];
            for block_x in 0..across {
                row[block_y * across + block_x] = line[block_x * BLOCK + place % BLOCK];
            }
        }
    }
    let solved = solved(&covariance, &samples)?;
    let mut variances = vec![0.0_f32; across * down];
    for place in 0..AREA {
        let pairs = solved.row(place).iter().zip(samples.row(place));
        for (variance, (a, b)) in variances.iter_mut().zip(pairs) {
            *variance += a * b / AREA as f32;
        }
    }
    let noise = options.noise as f32;
    let entropy_of_one = entropy_of_one();
    let entropy = |&variance: &f32| {
        eigenvalues.iter().fold(0.0_f32, |sum, eigenvalue| {
            let bits = f64::from(eigenvalue * variance + noise).log2() + entropy_of_one;
            (f64::from(sum) + bits) as f32
        })
    };
    let entropies = variances.iter().map(entropy).collect();
    Some(Blocks { variances, entropies })
}

/// Covariance of the samples of 5x5 neighbourhoods at all places of the top left `width` by `height`.
fn covariance(small: &Small, width: usize, height: usize) -> Matrix {
    let (places_x, places_y) = (width - BLOCK + 1, height - BLOCK + 1);
    let count = places_x * places_y;
    let line = |sample: usize, y: usize| {
        let start = (y + sample / BLOCK) * small.width + sample % BLOCK;
        &small.values[start..start + places_x]
    };
    let centred: [Vec<f64>; AREA] = std::array::from_fn(|sample| {
        let values = || (0..places_y).flat_map(|y| line(sample, y));
        let mean = values().fold(0.0_f32, |sum, value| sum + value) / count as f32;
        values().map(|&value| f64::from(value) - f64::from(mean)).collect()
    });
    let mut matrix = [[0.0; AREA]; AREA];
    for (first, a) in centred.iter().enumerate() {
        for (second, b) in centred[..=first].iter().enumerate() {
            let entry = (product(a, b) / count as f64) as f32;
            matrix[first][second] = entry;
            matrix[second][first] = entry;
        }
    }
    matrix
}

/// The scalar product, in eight sums at a time.
fn product(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}
