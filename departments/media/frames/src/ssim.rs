//! Structural similarity over 8x8 windows at a step of 4, the fast integer form that x264 made common and that
//! ffmpeg's `ssim` filter computes.
//!
//! Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, eq. 13, with a
//! box window instead of a Gaussian. Windows overlap by half, so a plane is cut in 4x4 blocks once and each window is
//! the sum of 2x2 blocks. For a window of N = 64 samples with the sums `Σa, Σb, Σ(a²+b²), Σab`, both sides of the
//! fraction are multiplied out so that everything before the division is an integer:
//!
//! ```text
//! ssim = (2 Σa Σb + c1) (2 (N Σab - Σa Σb) + c2) / ((Σa² + Σb² + c1) (N Σ(a²+b²) - Σa² - Σb² + c2))
//! c1 = (0.01 peak)² N,  c2 = (0.03 peak)² N (N - 1), both rounded
//! ```
//!
//! (in the last line `Σa²` is the square of the sum). By the equation `c1` would be multiplied by N², not N; the fast
//! versions in use all have it this way, and scores can only be compared with theirs if it stays. A plane's score is the mean over its windows, a frame's `all`
//! the mean over planes weighted by their samples, a clip's the mean over frames.

use crate::{ClipScores, Column, Error, Format, Frame, FrameMetric, Pixels, Plane, Pooling, Sample};

/// SSIM, at most 1 for equal pictures: columns `ssim_y`, `ssim_u`, `ssim_v` and `ssim_all` (`ssim_y` and `ssim_all`
/// for 4:0:0). Every plane must be at least 8x8.
pub struct Ssim {
    format: Format,
    /// Per frame: planes first, the sample-weighted average last.
    scores: Vec<Vec<f64>>,
}

/// Side of a window in samples; blocks are half of it.
const WINDOW: usize = 8;
const BLOCK: usize = WINDOW / 2;
const NAMES: [&str; 3] = ["ssim_y", "ssim_u", "ssim_v"];

impl Ssim {
    /// SSIM over pairs of layout `format`; [`Error::TooSmall`] when a plane does not hold one window.
    pub fn new(format: Format) -> Result<Self, Error> {
        if format.plane_sizes().any(|(width, height)| width < WINDOW || height < WINDOW) {
            return Err(Error::TooSmall { metric: "ssim", min: WINDOW, format });
        }
        Ok(Self { format, scores: vec![Vec::new(); format.subsampling().planes() + 1] })
    }
}

impl FrameMetric for Ssim {
    fn name(&self) -> &'static str {
        "ssim"
    }

    fn push(&mut self, reference: &Frame, distorted: &Frame) -> Result<(), Error> {
        reference.expect_format(self.format)?;
        distorted.expect_format(self.format)?;
        let peak = self.format.depth().peak();
        let planes: Vec<f64> = match (reference.pixels(), distorted.pixels()) {
            (Pixels::Eight(a), Pixels::Eight(b)) => {
                a.iter().zip(b).map(|(a, b)| plane_ssim(a, b, peak)).collect()
            }
            (Pixels::Deep(a), Pixels::Deep(b)) => {
                a.iter().zip(b).map(|(a, b)| plane_ssim(a, b, peak)).collect()
            }
            _ => return Err(Error::FormatMismatch { expected: reference.format(), got: distorted.format() }),
        };
        let mut weighted = 0.0;
        let mut total_samples = 0.0;
        for (index, (width, height)) in self.format.plane_sizes().enumerate() {
            let samples = (width * height) as f64;
            self.scores[index].push(planes[index]);
            weighted += planes[index] * samples;
            total_samples += samples;
        }
        let all = self.scores.len() - 1;
        self.scores[all].push(weighted / total_samples);
        Ok(())
    }

    fn finish(&mut self) -> Result<ClipScores, Error> {
        let planes = self.format.subsampling().planes();
        let scores = std::mem::replace(&mut self.scores, vec![Vec::new(); planes + 1]);
        if scores[0].is_empty() {
            return Err(Error::NoFrames);
        }
        let names = NAMES[..planes].iter().copied().chain(["ssim_all"]);
        let columns = names.zip(scores).map(|(name, frames)| Column {
            name: name.to_owned(),
            clip: frames.iter().sum::<f64>() / frames.len() as f64,
            pooling: Pooling::Mean,
            frames,
        });
        Ok(ClipScores { columns: columns.collect() })
    }
}

/// `Σa, Σb, Σ(a²+b²), Σab` over a region.
#[derive(Clone, Copy, Default)]
struct Sums<W> {
    a: W,
    b: W,
    squares: W,
    products: W,
}

/// The mean SSIM of two planes of one size, at least one window large.
fn plane_ssim<S: Sample>(a: &Plane<S>, b: &Plane<S>, peak: u16) -> f64 {
    let (blocks_across, blocks_down) = (a.width() / BLOCK, a.height() / BLOCK);
    let constants = Constants::new(peak);
    let mut columns = ColumnSums::<S>::new(blocks_across * BLOCK);
    let mut above = vec![Sums::default(); blocks_across];
    let mut below = above.clone();
    let mut total = 0.0;
    for block_row in 0..blocks_down {
        columns.clear();
        for y in block_row * BLOCK..(block_row + 1) * BLOCK {
            columns.add_row(a.row(y), b.row(y));
        }
        columns.blocks_into(&mut below);
        if block_row > 0 {
            let windows = above.windows(2).zip(below.windows(2));
            // A row's own sum first: the total stays accurate over a large plane.
            total += windows.map(|(above, below)| constants.window([above, below])).sum::<f64>();
        }
        std::mem::swap(&mut above, &mut below);
    }
    total / ((blocks_across - 1) * (blocks_down - 1)) as f64
}

/// Sums down each column of a row of blocks. Kept as four arrays so that adding a row is one plain loop over
/// contiguous memory.
struct ColumnSums<S: Sample> {
    a: Vec<S::Wide>,
    b: Vec<S::Wide>,
    squares: Vec<S::Wide>,
    products: Vec<S::Wide>,
}

impl<S: Sample> ColumnSums<S> {
    fn new(width: usize) -> Self {
        let zeros = || vec![S::Wide::default(); width];
        Self { a: zeros(), b: zeros(), squares: zeros(), products: zeros() }
    }

    fn clear(&mut self) {
        for column in [&mut self.a, &mut self.b, &mut self.squares, &mut self.products] {
            column.fill(S::Wide::default());
        }
    }

    fn add_row(&mut self, a: &[S], b: &[S]) {
        let sums = self.a.iter_mut().zip(&mut self.b).zip(self.squares.iter_mut().zip(&mut self.products));
        for (((sum_a, sum_b), (squares, products)), (&a, &b)) in sums.zip(a.iter().zip(b)) {
            let (a, b) = (S::Wide::from(a), S::Wide::from(b));
            *sum_a += a;
            *sum_b += b;
            *squares += a * a + b * b;
            *products += a * b;
        }
    }

    fn blocks_into(&self, blocks: &mut [Sums<S::Wide>]) {
        let sum = |column: &[S::Wide], x: usize| column[x] + column[x + 1] + column[x + 2] + column[x + 3];
        for (index, block) in blocks.iter_mut().enumerate() {
            let x = index * BLOCK;
            *block = Sums {
                a: sum(&self.a, x),
                b: sum(&self.b, x),
                squares: sum(&self.squares, x),
                products: sum(&self.products, x),
            };
        }
    }
}

struct Constants {
    c1: i64,
    c2: i64,
}

impl Constants {
    fn new(peak: u16) -> Self {
        let (peak, count) = (f64::from(peak), (WINDOW * WINDOW) as f64);
        let c1 = (0.01 * peak).powi(2) * count;
        let c2 = (0.03 * peak).powi(2) * count * (count - 1.0);
        Self { c1: c1.round() as i64, c2: c2.round() as i64 }
    }

    /// SSIM of the window whose four blocks these are. At 16 bits the largest term is below 2^46.
    fn window<W: Copy + Into<u64>>(&self, blocks: [&[Sums<W>]; 2]) -> f64 {
        let mut sums = Sums::<i64>::default();
        for block in blocks.into_iter().flatten() {
            let add = |sum: &mut i64, value: W| *sum += value.into() as i64;
            add(&mut sums.a, block.a);
            add(&mut sums.b, block.b);
            add(&mut sums.squares, block.squares);
            add(&mut sums.products, block.products);
        }
        let count = (WINDOW * WINDOW) as i64;
        let means = sums.a * sums.b;
        let mean_squares = sums.a * sums.a + sums.b * sums.b;
        let variances = count * sums.squares - mean_squares;
        let covariance = count * sums.products - means;
        let numerator = (2 * means + self.c1) as f64 * (2 * covariance + self.c2) as f64;
        let denominator = (mean_squares + self.c1) as f64 * (variances + self.c2) as f64;
        numerator / denominator
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitDepth, Subsampling};

    /// Two pictures that resemble each other: a ramp with texture, and the same with noise of random strength.
    pub(crate) fn noisy_pair(format: Format, seed: u64) -> (Frame, Frame) {
        let mut state = seed | 1;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let peak = u64::from(format.depth().peak());
        let noise = random(peak) + 1;
        let mut a = Frame::black(format);
        a.fill(|plane, x, y| {
            ((x as u64 * 7 + y as u64 * 3 + plane as u64 * 40 + random(peak / 4)) % (peak + 1)) as u16
        });
        let mut b = a.clone();
        b.fill(|plane, x, y| {
            (u64::from(a.sample(plane, x, y)) + random(noise)).saturating_sub(noise / 2).min(peak) as u16
        });
        (a, b)
    }

    /// Wang's equation on each window, in floating point, with population means and sample (n - 1) variances.
    fn naive_ssim(a: &Frame, b: &Frame, plane: usize) -> f64 {
        let (width, height) = a.format().plane_size(plane);
        let peak = f64::from(a.format().depth().peak());
        // The first constant is a sixty-fourth of Wang's, see the head of the module.
        let (c1, c2) = ((0.01 * peak).powi(2) / 64.0, (0.03 * peak).powi(2));
        let (mut total, mut windows) = (0.0, 0.0);
        for top in (0..=height / 4 * 4 - 8).step_by(4) {
            for left in (0..=width / 4 * 4 - 8).step_by(4) {
                let pixels: Vec<(f64, f64)> = (0..64)
                    .map(|i| (left + i % 8, top + i / 8))
                    .map(|(x, y)| (a.sample(plane, x, y).into(), b.sample(plane, x, y).into()))
                    .collect();
                let mean_a = pixels.iter().map(|p| p.0).sum::<f64>() / 64.0;
                let mean_b = pixels.iter().map(|p| p.1).sum::<f64>() / 64.0;
                let spread = |f: &dyn Fn(&(f64, f64)) -> f64| pixels.iter().map(f).sum::<f64>() / 63.0;
                let variance_a = spread(&|p| (p.0 - mean_a).powi(2));
                let variance_b = spread(&|p| (p.1 - mean_b).powi(2));
                let covariance = spread(&|p| (p.0 - mean_a) * (p.1 - mean_b));
                total += (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
                    / ((mean_a.powi(2) + mean_b.powi(2) + c1) * (variance_a + variance_b + c2));
                windows += 1.0;
            }
        }
        total / windows
    }

    proptest! {
        #[test]
        fn equals_its_definition(width in 16_usize..70, height in 16_usize..50, bits in 8_u32..=16, layout in 0_usize..4, seed in any::<u64>()) {
            let layout = [Subsampling::Mono, Subsampling::C420, Subsampling::C422, Subsampling::C444][layout];
            let format = Format::new(width, height, layout, BitDepth::new(bits).unwrap()).unwrap();
            let (a, b) = noisy_pair(format, seed);
            let mut ssim = Ssim::new(format).unwrap();
            ssim.push(&a, &b).unwrap();
            ssim.push(&a, &a).unwrap();
            let scores = ssim.finish().unwrap();
            for (index, column) in scores.columns.iter().take(layout.planes()).enumerate() {
                let expected = naive_ssim(&a, &b, index);
                // The rounding of the two constants is worth a few millionths at eight bits.
                prop_assert!((column.frames[0] - expected).abs() < 1e-5, "{} {}", column.frames[0], expected);
                prop_assert_eq!(column.frames[1], 1.0);
            }
        }
    }

    #[test]
    fn planes_below_a_window_are_refused() {
        let format = Format::new(15, 14, Subsampling::C420, BitDepth::EIGHT).unwrap();
        let message = Ssim::new(format).err().unwrap().to_string();
        assert!(message.contains("at least 8x8"), "{message}");
        assert!(Ssim::new(Format::new(15, 15, Subsampling::C420, BitDepth::EIGHT).unwrap()).is_ok());
    }

    #[test]
    fn extremes_do_not_overflow() {
        for bits in [8, 16] {
            let format = Format::new(16, 16, Subsampling::C444, BitDepth::new(bits).unwrap()).unwrap();
            let (mut a, mut b) = (Frame::black(format), Frame::black(format));
            a.fill(|_, x, y| if (x + y) % 2 == 0 { 0 } else { u16::MAX });
            b.fill(|_, x, y| if (x + y) % 2 == 0 { u16::MAX } else { 0 });
            let mut ssim = Ssim::new(format).unwrap();
            ssim.push(&a, &b).unwrap();
            let score = ssim.finish().unwrap().clip("ssim_all").unwrap();
            assert!((-1.0..-0.98).contains(&score), "{score}");
        }
    }
}
