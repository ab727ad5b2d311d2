//! The plainest features of luma: `float_ansnr`, the signal-to-noise ratio of which the first fusion was made (detail below
//! what the eye resolves is filtered out first), and `float_moment`, the means of samples and of their squares.
//!
//! Sums are rounded as libvmaf rounds them.

use backlot_frames::Frame;

use crate::kernel::{Grid, centred, reflect_first, take_luma};

/// Low-pass of the reference, in sixteenths.
const REFERENCE: [[f32; 3]; 3] = [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]];
/// Low-pass of the distorted picture, in parts of 571.
const DISTORTED: [[f32; 5]; 5] = [
    [2.0, 7.0, 12.0, 7.0, 2.0],
    [7.0, 31.0, 52.0, 31.0, 7.0],
    [12.0, 52.0, 127.0, 52.0, 12.0],
    [7.0, 31.0, 52.0, 31.0, 7.0],
    [2.0, 7.0, 12.0, 7.0, 2.0],
];
/// The least side: a kernel reaches no farther than the other end.
pub(crate) const MIN_SIDE: usize = 3;

/// ANSNR, and PSNR of the filtered pictures, in dB.
pub(crate) fn scores(reference: &Frame, distorted: &Frame) -> [f64; 2] {
    let reference_luma = filtered(&centred(reference), &REFERENCE, 16.0);
    let distorted_luma = filtered(&centred(distorted), &DISTORTED, 571.0);
    let (mut signal, mut noise) = (0.0_f32, 0.0_f32);
    for y in 0..reference_luma.height {
        let (mut row_signal, mut row_noise) = (0.0_f32, 0.0_f32);
        for (r, d) in reference_luma.row(y).iter().zip(distorted_luma.row(y)) {
            row_signal += r * r;
            row_noise += (r - d) * (r - d);
        }
        signal += row_signal;
        noise += row_noise;
    }
    let format = reference.format();
    let bits = format.depth().bits();
    let most = f64::from(6 * bits + 12);
    let peak = f64::from(format.depth().peak()) / f64::from(1_u32 << (bits - 8));
    let area = (format.width() * format.height()) as f64;
    let ratio = if noise == 0.0 { most } else { 10.0 * f64::from(signal / noise).log10() };
    let psnr = 10.0 * (peak * peak * area / f64::from(noise).max(1e-10)).log10();
    [ratio, psnr.min(most)]
}

/// Means of the reference and of the distorted picture, then of their squares.
pub(crate) fn moments(reference: &Frame, distorted: &Frame) -> [f64; 4] {
    let mut luma = Grid::default();
    let mut means = [0.0_f64; 4];
    for (picture, frame) in [reference, distorted].into_iter().enumerate() {
        take_luma(&mut luma, frame);
        for y in 0..luma.height {
            for &sample in luma.row(y) {
                means[picture] += f64::from(sample);
                means[2 + picture] += f64::from(sample * sample);
            }
        }
    }
    means.map(|sum| sum / (luma.width * luma.height) as f64)
}

/// `kernel` over `parts`, at every sample.
fn filtered<const N: usize>(plane: &Grid<f32>, kernel: &[[f32; N]; N], parts: f32) -> Grid<f32> {
    let kernel = kernel.map(|row| row.map(|weight| weight / parts));
    let from = |at: usize, tap: usize, n: usize| reflect_first((at + tap) as isize - (N / 2) as isize, n);
    let mut out = Grid::default();
    out.resize(plane.width, plane.height);
    for y in 0..plane.height {
        let rows: [&[f32]; N] = std::array::from_fn(|tap| plane.row(from(y, tap, plane.height)));
        for (x, out) in out.row_mut(y).iter_mut().enumerate() {
            let columns: [usize; N] = std::array::from_fn(|tap| from(x, tap, plane.width));
            let row_sum = |row: &[f32], weights: &[f32; N]| {
                columns.iter().zip(weights).fold(0.0_f32, |sum, (&column, weight)| sum + weight * row[column])
            };
            *out = rows.iter().zip(&kernel).fold(0.0_f32, |sum, (row, weights)| sum + row_sum(row, weights));
        }
    }
    out
}
