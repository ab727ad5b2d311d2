//! Contrast sensitivity: how strongly each wavelet band counts, from the viewing distance and the display's height.
//!
//! The default is Watson's model of DWT quantisation noise (1997); VMAF v1 uses a blend of Barten's and Watson's models,
//! tabulated for the viewing conditions that its models were trained for.

use crate::Error;

/// How band weights are found, by libvmaf's `adm_csf_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Csf {
    /// Mode 0.
    Watson,
    /// Mode 2.
    Blend,
    /// Mode 2 of `float_adm`: the sensitivity of the paper that DLM comes from (Li, Zhang, Ma and Ngan 2011).
    Native,
}

/// Where and how the picture is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Viewing {
    /// Viewing distance in picture heights.
    pub(crate) distance: f64,
    /// Height of the display in pixels.
    pub(crate) height: i32,
}

/// Tabulated blends: viewing distance times display height, then weights of the horizontal and vertical bands and of the
/// diagonal band at scales 0 to 3. Conditions of equal product see the same angles, hence the same weights.
const BLENDS: &[(f64, [f32; 4], [f32; 4])] = &[
    (3240.0, [0.01183, 0.025_026, 0.042_95, 0.058_621], [0.004_302, 0.011_778, 0.023_918, 0.035_901]),
    (5400.0, [0.004_212, 0.014_809, 0.029_642, 0.047_464], [0.000_984, 0.005_852, 0.0146, 0.027_574]),
    (6480.0, [0.00226, 0.01183, 0.025_026, 0.042_95], [0.000_479, 0.004_302, 0.011_778, 0.023_918]),
];

/// Basis amplitudes of the 9/7 wavelet by scale, for low-pass, horizontal/vertical and diagonal orientation.
const AMPLITUDES: [[f32; 2]; 4] =
    [[0.67234, 0.72709], [0.41317, 0.49428], [0.22727, 0.28688], [0.11792, 0.15214]];

/// Weights of the bands horizontal, vertical, diagonal at `scale`.
pub(crate) fn weights(csf: Csf, viewing: Viewing, scale: usize) -> Result<[f32; 3], Error> {
    let angle = viewing.distance * f64::from(viewing.height);
    match csf {
        Csf::Watson => {
            let line = 1.0 / watson(viewing, scale, 0);
            Ok([line, line, 1.0 / watson(viewing, scale, 1)])
        }
        Csf::Native => Ok([0, 0, 1].map(|orientation| native(viewing, scale, orientation))),
        Csf::Blend => {
            let blend = BLENDS.iter().find(|(product, ..)| (product - angle).abs() < 1e-6);
            let (_, line, diagonal) = blend.ok_or_else(|| Error::Options {
                feature: "adm",
                reason: format!(
                    "adm_csf_mode=2 is tabulated for adm_norm_view_dist x adm_ref_display_height of 3240, 5400 and 6480, not {angle}"
                ),
            })?;
            Ok([line[scale], line[scale], diagonal[scale]])
        }
    }
}

/// Mannos and Sakrison's sensitivity at the band's frequency; diagonals are seen less.
fn native(viewing: Viewing, scale: usize, orientation: usize) -> f32 {
    let degree = (viewing.distance * f64::from(viewing.height) * std::f64::consts::PI / 180.0) as f32;
    let frequency = (f64::from(degree) / 2.0_f64.powi(scale as i32 + 1)) as f32;
    let frequency = if orientation == 1 { (f64::from(frequency) / 0.7) as f32 } else { frequency };
    let frequency = f64::from(frequency);
    ((0.31 + 0.69 * frequency) * (-0.29 * frequency).exp()) as f32
}

/// Smallest visible quantisation step of a luma band (Watson, Yang, Solomon and Villasenor 1997, equation 10);
/// `orientation` 0 is horizontal and vertical, 1 diagonal.
fn watson(viewing: Viewing, scale: usize, orientation: usize) -> f32 {
    const THRESHOLD: f32 = 0.495;
    const WIDTH: f32 = 0.466;
    const PEAK: f32 = 0.401;
    const ORIENTATION: [f32; 2] = [1.0, 0.534];
    let degree = (viewing.distance * f64::from(viewing.height) * std::f64::consts::PI / 180.0) as f32;
    let ratio = 2.0_f64.powi(scale as i32 + 1) * f64::from(PEAK) * f64::from(ORIENTATION[orientation])
        / f64::from(degree);
    let exponent = ratio.log10() as f32;
    let power = 10.0_f64.powf(f64::from(WIDTH * exponent * exponent));
    (2.0 * f64::from(THRESHOLD) * power / f64::from(AMPLITUDES[scale][orientation])) as f32
}
