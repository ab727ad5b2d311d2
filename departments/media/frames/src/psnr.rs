//! Peak signal-to-noise ratio, with the conventions of ffmpeg's `psnr` filter.
//!
//! Per plane, `10 log10(peak² / mse)` with `peak = 2^depth - 1` whatever the colour range, and infinite for equal
//! planes. The average over planes is the PSNR of the mean squared error over *all* samples (so 4:2:0 chroma counts a
//! quarter each), and the clip's value is the PSNR of the mean over frames of the mean squared errors.

use crate::{ClipScores, Column, Error, Format, Frame, FrameMetric, Pixels, Plane, Pooling, Sample};

/// PSNR in decibels: columns `psnr_y`, `psnr_u`, `psnr_v` and `psnr_avg` (`psnr_y` and `psnr_avg` for 4:0:0).
pub struct Psnr {
    format: Format,
    /// Mean squared error per frame: planes first, the sample-weighted average last.
    errors: Vec<Vec<f64>>,
}

const NAMES: [&str; 3] = ["psnr_y", "psnr_u", "psnr_v"];

impl Psnr {
    /// PSNR over pairs of layout `format`.
    pub fn new(format: Format) -> Self {
        Self { format, errors: vec![Vec::new(); format.subsampling().planes() + 1] }
    }

    fn decibels(&self, mean_squared_error: f64) -> f64 {
        let peak = f64::from(self.format.depth().peak());
        10.0 * (peak * peak / mean_squared_error).log10()
    }
}

impl FrameMetric for Psnr {
    fn name(&self) -> &'static str {
        "psnr"
    }

    fn push(&mut self, reference: &Frame, distorted: &Frame) -> Result<(), Error> {
        reference.expect_format(self.format)?;
        distorted.expect_format(self.format)?;
        let squared_errors: Vec<u64> = match (reference.pixels(), distorted.pixels()) {
            (Pixels::Eight(a), Pixels::Eight(b)) => {
                a.iter().zip(b).map(|(a, b)| squared_error(a, b)).collect()
            }
            (Pixels::Deep(a), Pixels::Deep(b)) => a.iter().zip(b).map(|(a, b)| squared_error(a, b)).collect(),
            _ => return Err(Error::FormatMismatch { expected: reference.format(), got: distorted.format() }),
        };
        let mut total_samples = 0;
        for (index, (width, height)) in self.format.plane_sizes().enumerate() {
            self.errors[index].push(squared_errors[index] as f64 / (width * height) as f64);
            total_samples += width * height;
        }
        let total: u64 = squared_errors.iter().sum();
        let average = self.errors.len() - 1;
        self.errors[average].push(total as f64 / total_samples as f64);
        Ok(())
    }

    fn finish(&mut self) -> Result<ClipScores, Error> {
        let planes = self.format.subsampling().planes();
        let errors = std::mem::replace(&mut self.errors, vec![Vec::new(); planes + 1]);
        if errors[0].is_empty() {
            return Err(Error::NoFrames);
        }
        let names = NAMES[..planes].iter().copied().chain(["psnr_avg"]);
        let columns = names.zip(&errors).map(|(name, errors)| Column {
            name: name.to_owned(),
            clip: self.decibels(errors.iter().sum::<f64>() / errors.len() as f64),
            pooling: Pooling::MeanError,
            frames: errors.iter().map(|&error| self.decibels(error)).collect(),
        });
        Ok(ClipScores { columns: columns.collect() })
    }
}

/// Sum of squared differences of two planes of one size. At most `2^32 * MAX_PIXELS`, which fits `u64`.
fn squared_error<S: SquaredError>(a: &Plane<S>, b: &Plane<S>) -> u64 {
    a.rows().zip(b.rows()).map(|(a, b)| S::row_squared_error(a, b)).sum()
}

/// The kernel, written per sample type so that each loop keeps to the narrowest accumulator and vectorises.
trait SquaredError: Sample {
    fn row_squared_error(a: &[Self], b: &[Self]) -> u64;
}

impl SquaredError for u8 {
    fn row_squared_error(a: &[u8], b: &[u8]) -> u64 {
        // A chunk's sum fits u32: 16384 * 255² < 2^32; MAX_SIDE bounds a row, the chunks make it hold regardless.
        let chunks = a.chunks(16_384).zip(b.chunks(16_384));
        chunks
            .map(|(a, b)| {
                u64::from(a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>())
            })
            .sum()
    }
}

impl SquaredError for u16 {
    fn row_squared_error(a: &[u16], b: &[u16]) -> u64 {
        a.iter().zip(b).map(|(&a, &b)| u64::from(u32::from(a.abs_diff(b)).pow(2))).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BitDepth, Subsampling};

    /// The definition, sample by sample, in floating point.
    fn naive_mse(a: &Frame, b: &Frame, plane: usize) -> f64 {
        let (width, height) = a.format().plane_size(plane);
        let mut sum = 0.0;
        for y in 0..height {
            for x in 0..width {
                sum += (f64::from(a.sample(plane, x, y)) - f64::from(b.sample(plane, x, y))).powi(2);
            }
        }
        sum / (width * height) as f64
    }

    proptest! {
        #[test]
        fn equals_its_definition(width in 1_usize..80, height in 1_usize..40, bits in 8_u32..=16, layout in 0_usize..4, seed in any::<u64>()) {
            let layout = [Subsampling::Mono, Subsampling::C420, Subsampling::C422, Subsampling::C444][layout];
            let format = Format::new(width, height, layout, BitDepth::new(bits).unwrap()).unwrap();
            let (a, b) = crate::ssim::tests::noisy_pair(format, seed);
            let mut psnr = Psnr::new(format);
            psnr.push(&a, &b).unwrap();
            psnr.push(&b, &b).unwrap();
            let scores = psnr.finish().unwrap();
            let peak = f64::from(format.depth().peak());
            for (index, column) in scores.columns.iter().take(layout.planes()).enumerate() {
                let mse = naive_mse(&a, &b, index);
                let decibels = 10.0 * (peak * peak / mse).log10();
                prop_assert!(column.frames[0] == decibels || (column.frames[0] - decibels).abs() < 1e-9);
                prop_assert_eq!(column.frames[1], f64::INFINITY);
                let clip = 10.0 * (peak * peak / (mse / 2.0)).log10();
                prop_assert!(column.clip == clip || (column.clip - clip).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn refuses_other_layouts_and_empty_clips() {
        let small = Format::new(16, 16, Subsampling::C420, BitDepth::EIGHT).unwrap();
        let deep = Format::new(16, 16, Subsampling::C420, BitDepth::TEN).unwrap();
        let mut psnr = Psnr::new(small);
        assert!(matches!(psnr.finish(), Err(Error::NoFrames)));
        let message = psnr.push(&Frame::black(small), &Frame::black(deep)).unwrap_err().to_string();
        assert!(message.contains("16x16 4:2:0 8-bit") && message.contains("10-bit"), "{message}");
    }
}
