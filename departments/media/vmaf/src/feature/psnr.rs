//! PSNR of the planes, from sums of squared errors.

use backlot_frames::{Format, Frame, Plane, Sample};

use super::spec::Values;
use crate::isa::{Isa, kernel};
use crate::kernel::{PlanePair, plane_pair};

/// Options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PsnrOptions {
    enable_chroma: bool,
    pub(crate) enable_mse: bool,
    pub(crate) enable_apsnr: bool,
    reduced_hbd_peak: bool,
    min_sse: f64,
}

impl PsnrOptions {
    pub(crate) fn new(values: &Values) -> Self {
        Self {
            enable_chroma: values.flag("enable_chroma"),
            enable_mse: values.flag("enable_mse"),
            enable_apsnr: values.flag("enable_apsnr"),
            reduced_hbd_peak: values.flag("reduced_hbd_peak"),
            min_sse: values.number("min_sse"),
        }
    }

    /// How many planes are measured.
    pub(crate) fn planes(&self, format: Format) -> usize {
        if self.enable_chroma { format.subsampling().planes() } else { 1 }
    }

    /// The peak sample, squared.
    fn peak_squared(&self, format: Format) -> f64 {
        let bits = format.depth().bits();
        let peak =
            if self.reduced_hbd_peak { 255_u32 << (bits - 8) } else { u32::from(format.depth().peak()) };
        f64::from(peak) * f64::from(peak)
    }

    /// Mean squared error and PSNR of a plane with that sum of squared errors.
    pub(crate) fn score(&self, format: Format, plane: usize, squared_error: f64) -> (f64, f64) {
        let (width, height) = plane_size(format, plane);
        let mse = squared_error / (width * height) as f64;
        let peak = self.peak_squared(format);
        let most = if self.min_sse == 0.0 {
            f64::from(6 * format.depth().bits() + 12)
        } else {
            (10.0 * (peak / (self.min_sse / (width * height) as f64)).log10()).ceil()
        };
        (mse, (10.0 * (peak / mse.max(1e-16)).log10()).min(most))
    }

    /// PSNR of the mean error of all frames.
    pub(crate) fn aggregate(&self, format: Format, plane: usize, squared_errors: &[f64]) -> f64 {
        let (width, height) = plane_size(format, plane);
        let samples = (width * height * squared_errors.len()) as f64;
        let sum: f64 = squared_errors.iter().sum();
        let peak = self.peak_squared(format);
        let most = (10.0 * (peak * samples * 2.0).log10()).ceil();
        (10.0 * (peak.log10() + samples.log10() - sum.log10())).min(most)
    }
}

/// `float_psnr`: the same of luma brought to eight bits, with limits of its own.
pub(crate) fn float_score(isa: Isa, reference: &Frame, distorted: &Frame) -> f64 {
    let format = reference.format();
    let bits = format.depth().bits();
    let unit = f64::from(1_u32 << (bits - 8));
    let area = (format.width() * format.height()) as f64;
    let noise = squared_error(isa, reference, distorted, 0) / area / (unit * unit);
    let peak = f64::from(format.depth().peak()) / unit;
    (10.0 * (peak * peak / noise.max(1e-10)).log10()).min(f64::from(6 * bits + 12))
}

/// Size of a plane as libvmaf counts it: an odd chroma row or column at the end does not belong to it.
pub(crate) fn plane_size(format: Format, plane: usize) -> (usize, usize) {
    use backlot_frames::Subsampling::{C420, C422};
    let (width, height) = (format.width(), format.height());
    match (plane, format.subsampling()) {
        (1.., C420) => (width / 2, height / 2),
        (1.., C422) => (width / 2, height),
        _ => (width, height),
    }
}

/// Sum of squared errors of plane `index`.
pub(crate) fn squared_error(isa: Isa, reference: &Frame, distorted: &Frame, index: usize) -> f64 {
    let (width, height) = plane_size(reference.format(), index);
    let sum = match plane_pair(reference, distorted, index) {
        Some(PlanePair::Eight(a, b)) => sum_rows(isa, a, b, width, height),
        Some(PlanePair::Deep(a, b)) => sum_rows(isa, a, b, width, height),
        None => 0,
    };
    sum as f64
}

fn sum_rows<S: Sample>(isa: Isa, a: &Plane<S>, b: &Plane<S>, width: usize, height: usize) -> u64 {
    a.rows().zip(b.rows()).take(height).map(|(a, b)| sum_row(isa, &a[..width], &b[..width])).sum()
}

kernel! {
    fn sum_row [S: Sample] [S] (a: &[S], b: &[S]) -> u64 {
        let b = &b[..a.len()];
        let mut sum = 0_u64;
        for (a, b) in a.iter().zip(b) {
            let (a, b): (u32, u32) = ((*a).into(), (*b).into());
            let error = a.abs_diff(b);
            sum += u64::from(error.wrapping_mul(error));
        }
        sum
    }
}
