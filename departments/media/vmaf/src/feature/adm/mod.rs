//! Integer ADM: how much of the reference's detail is lost (DLM, here adm2) and how much is added (AIM).
//!
//! Both pictures are taken apart by four wavelet levels. At each, the distorted detail is decoupled into a restored and
//! an additive part; both are weighted by contrast sensitivity, each is masked by the other, and their cubes are summed
//! over the middle of the picture. The sums over bands and scales are set against the same sum of the reference.
//!
//! Rows flow through a ring of three, because a threshold needs the rows above and below; no plane of intermediate values
//! but the bands themselves is kept. Variants of options share the bands.

mod csf;
mod dwt;
mod rows;

use backlot_frames::Frame;

use self::csf::{Csf, Viewing};
use self::dwt::{Bands, Dwt};
use self::rows::{Masks, Three};
use super::spec::Values;
use crate::kernel::{PlanePair, ceil_log2, plane_pair};
use crate::{Error, Isa};

/// Share of each side that is left out at each border.
const BORDER: f64 = 0.1;

/// Options of one variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdmOptions {
    csf: Csf,
    viewing: Viewing,
    gain_limit: f64,
    noise_weight: f64,
    pub(crate) dlm_weight: f64,
    pub(crate) min: f64,
    pub(crate) skip_aim: bool,
    skip_scale0: bool,
}

impl AdmOptions {
    pub(crate) fn new(values: &Values) -> Result<Self, Error> {
        let csf = match values.integer("adm_csf_mode") {
            0 => Csf::Watson,
            2 => Csf::Blend,
            other => {
                let reason = format!("adm_csf_mode={other} is not built; take 0 (Watson) or 2 (blend)");
                return Err(Error::Options { feature: "adm", reason });
            }
        };
        for option in ["adm_csf_scale", "adm_csf_diag_scale"] {
            if values.number(option) != 1.0 {
                let reason =
                    format!("{option} only changes adm_csf_mode=1, which is not built; leave it at 1");
                return Err(Error::Options { feature: "adm", reason });
            }
        }
        let viewing = Viewing {
            distance: values.number("adm_norm_view_dist"),
            height: values.integer("adm_ref_display_height") as i32,
        };
        if viewing.distance * f64::from(viewing.height) < 3240.0 {
            let reason =
                "adm_norm_view_dist x adm_ref_display_height must be at least 3240 (3 x 1080)".to_owned();
            return Err(Error::Options { feature: "adm", reason });
        }
        for scale in 0..4 {
            csf::weights(csf, viewing, scale)?;
        }
        Ok(Self {
            csf,
            viewing,
            gain_limit: values.number("adm_enhn_gain_limit"),
            noise_weight: values.number("adm_noise_weight"),
            dlm_weight: values.number("adm_dlm_weight"),
            min: values.number("adm_min_val"),
            skip_aim: values.flag("adm_skip_aim"),
            skip_scale0: values.flag("adm_skip_scale0"),
        })
    }
}

/// What one variant gives for a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AdmScore {
    /// adm2, the detail that is kept.
    pub(crate) kept: f64,
    /// aim, the detail that was added.
    pub(crate) added: f64,
    /// Numerators and denominators of scales 0 to 3.
    pub(crate) scales: [(f32, f32); 4],
}

/// Scratch: the bands of two levels for both pictures, and the ring of rows.
#[derive(Debug, Default)]
pub(crate) struct Adm {
    dwt: Dwt,
    reference: [Bands; 2],
    distorted: [Bands; 2],
    ring: [Slot; 3],
    threshold: Vec<i32>,
}

/// One decoupled row.
#[derive(Debug, Default)]
struct Slot {
    restored: [Vec<i32>; 3],
    additive: [Vec<i32>; 3],
    /// Mask rows of the additive part (for DLM) and of the restored part (for AIM).
    around: [Vec<i32>; 2],
    centre: [Vec<i32>; 2],
}

impl Slot {
    fn resize(&mut self, width: usize) {
        let rows = self.restored.iter_mut().chain(&mut self.additive);
        for row in rows.chain(&mut self.around).chain(&mut self.centre) {
            row.resize(width, 0);
        }
    }
}

/// What is scored of a band: rows and columns away from the border.
#[derive(Clone, Copy)]
struct Region {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Region {
    fn new(width: usize, height: usize) -> Self {
        let border = |n: usize| (n as f64 * BORDER - 0.5) as usize;
        let (left, top) = (border(width), border(height));
        Self { left, right: width - left, top, bottom: height - top }
    }

    fn area(self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

/// Weights of one scale in the fixed point of its kernels.
#[derive(Clone, Copy)]
enum Weights {
    First([i32; 3]),
    Later([i64; 3]),
}

/// Cube sums of a scale by band: of the restored part and of the additive one.
#[derive(Clone, Copy, Default)]
struct Contrast {
    restored: [i64; 3],
    additive: [i64; 3],
}

impl Adm {
    /// The least side: below it the wavelet's coarsest level has no middle.
    pub(crate) const MIN_SIDE: usize = 17;

    /// Scores of a frame for each of `variants`.
    pub(crate) fn scores(
        &mut self,
        isa: Isa,
        reference: &Frame,
        distorted: &Frame,
        variants: &[AdmOptions],
    ) -> Result<Vec<AdmScore>, Error> {
        let depth = reference.format().depth().bits();
        let pair = plane_pair(reference, distorted, 0).ok_or_else(|| {
            backlot_frames::Error::FormatMismatch { expected: reference.format(), got: distorted.format() }
        })?;
        let mut sums = vec![(0.0_f64, 0.0_f64, 0.0_f64); variants.len()];
        let mut scores = vec![AdmScore::default(); variants.len()];
        for scale in 0..4 {
            self.transform(isa, pair, depth, scale);
            for (variant, (sums, score)) in variants.iter().zip(sums.iter_mut().zip(&mut scores)) {
                let (num, den, added) = if scale == 0 && variant.skip_scale0 {
                    (0.0, 1e-10, 0.0)
                } else {
                    self.scale(isa, variant, scale)?
                };
                score.scales[scale] = (num, den);
                *sums = (sums.0 + f64::from(num), sums.1 + f64::from(den), sums.2 + f64::from(added));
            }
        }
        let area = (reference.format().width() * reference.format().height()) as f64;
        let limit = 1e-10 * area / (1920.0 * 1080.0);
        for ((num, den, added), score) in sums.into_iter().zip(&mut scores) {
            let (num, den) = (if num < limit { 0.0 } else { num }, if den < limit { 0.0 } else { den });
            (score.kept, score.added) = if den == 0.0 { (1.0, 0.0) } else { (num / den, added / den) };
        }
        Ok(scores)
    }

    fn transform(&mut self, isa: Isa, pair: PlanePair<'_>, depth: u32, scale: usize) {
        for (side, levels) in [&mut self.reference, &mut self.distorted].into_iter().enumerate() {
            let [even, odd] = levels;
            let (into, before) = if scale.is_multiple_of(2) { (even, odd) } else { (odd, even) };
            match (scale, pair) {
                (0, PlanePair::Eight(a, b)) => {
                    self.dwt.first(isa, if side == 0 { a } else { b }, depth, into);
                }
                (0, PlanePair::Deep(a, b)) => {
                    self.dwt.first(isa, if side == 0 { a } else { b }, depth, into);
                }
                _ => self.dwt.later(isa, &before.approximation, scale, into),
            }
        }
    }

    /// Numerator, denominator and added detail of one scale.
    fn scale(&mut self, isa: Isa, options: &AdmOptions, scale: usize) -> Result<(f32, f32, f32), Error> {
        let factors = csf::weights(options.csf, options.viewing, scale)?;
        let bands = &self.reference[scale % 2].detail;
        let (width, height) = (bands[0].width, bands[0].height);
        let region = Region::new(width, height);
        let weights = fixed_weights(options, scale, factors);
        let contrast = self.contrast(isa, options, scale, region, weights);
        let added = if options.skip_aim {
            0.0
        } else {
            pooled(contrast.additive, scale, (width, height), region, 0.0)
        };
        let num = pooled(contrast.restored, scale, (width, height), region, options.noise_weight);
        let den = self.energy(isa, scale, region, factors, options.noise_weight);
        Ok((num, den, added))
    }

    fn contrast(
        &mut self,
        isa: Isa,
        options: &AdmOptions,
        scale: usize,
        region: Region,
        weights: Weights,
    ) -> Contrast {
        let (reference, distorted) = (&self.reference[scale % 2].detail, &self.distorted[scale % 2].detail);
        let (width, height) = (reference[0].width, reference[0].height);
        for slot in &mut self.ring {
            slot.resize(width);
        }
        self.threshold.resize(width, 0);
        let row_shift = ceil_log2(height as u64);
        let cos_squared = rows::cos_squared();
        let cubes = cube_shifts(scale, width);
        let (from, to) = (region.left.saturating_sub(1), (region.right + 1).min(width));
        let mut contrast = Contrast::default();
        let mut decoupled = region.top.saturating_sub(1);
        for y in region.top..region.bottom {
            while decoupled < (y + 2).min(height) {
                let o: Three<'_> = std::array::from_fn(|band| &reference[band].row(decoupled)[from..to]);
                let t: Three<'_> = std::array::from_fn(|band| &distorted[band].row(decoupled)[from..to]);
                let slot = &mut self.ring[decoupled % 3];
                let restored = slot.restored.each_mut().map(|row| &mut row[from..to]);
                let additive = slot.additive.each_mut().map(|row| &mut row[from..to]);
                match scale {
                    0 => rows::decouple_first(isa, o, t, options.gain_limit, cos_squared, restored, additive),
                    _ => rows::decouple_later(isa, o, t, options.gain_limit, cos_squared, restored, additive),
                }
                slot.mask(isa, weights, from, to, options.skip_aim);
                decoupled += 1;
            }
            let above = if y == 0 { 1.min(height - 1) } else { y - 1 };
            let [above, here, below] = [above, y, (y + 1).min(height - 1)].map(|row| &self.ring[row % 3]);
            let parts = if options.skip_aim { 1 } else { 2 };
            for part in 0..parts {
                let masks = Masks {
                    around: [&above.around[part], &here.around[part], &below.around[part]],
                    centre: &here.centre[part],
                };
                rows::thresholds(isa, masks, region.left, region.right, &mut self.threshold);
                let (source, sums) = if part == 0 {
                    (&here.restored, &mut contrast.restored)
                } else {
                    (&here.additive, &mut contrast.additive)
                };
                let source = source.each_ref().map(|row| &row[region.left..region.right]);
                let threshold = &self.threshold[region.left..region.right];
                let row = match weights {
                    Weights::First(weights) => rows::contrast_first(isa, source, threshold, weights, cubes),
                    Weights::Later(weights) => {
                        rows::contrast_later(isa, source, threshold, weights, cubes[0])
                    }
                };
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum += rounded_shift(row, row_shift);
                }
            }
        }
        contrast
    }

    /// The denominator: what the reference's own detail amounts to.
    fn energy(&self, isa: Isa, scale: usize, region: Region, factors: [f32; 3], noise_weight: f64) -> f32 {
        let bands = &self.reference[scale % 2].detail;
        let mut total = 0.0_f32;
        let noise = cube_root((region.area() as f64 * noise_weight) as f32);
        for (band, factor) in bands.iter().zip(factors) {
            let lines = (region.top..region.bottom).map(|y| &band.row(y)[region.left..region.right]);
            let (sum, shift) = if scale == 0 {
                let row_shift = ceil_log2(region.area() as u64).saturating_sub(20);
                let sum: i64 =
                    lines.map(|line| rounded_shift(rows::energy_first(isa, line) as i64, row_shift)).sum();
                (sum, 18 - row_shift as i32)
            } else {
                let square = [31, 30, 31][scale - 1];
                let cube = ceil_log2((region.right - region.left) as u64);
                let row_shift = ceil_log2((region.bottom - region.top) as u64);
                let sum: i64 = lines
                    .map(|line| rounded_shift(rows::energy_later(isa, line, square, cube) as i64, row_shift))
                    .sum();
                (sum, [32, 27, 23][scale - 1] - row_shift as i32 - cube as i32)
            };
            let energy = sum as f64 / 2.0_f64.powi(shift) * f64::from(factor).powi(3);
            total += cube_root(energy as f32) + noise;
        }
        total
    }
}

impl Slot {
    fn mask(&mut self, isa: Isa, weights: Weights, from: usize, to: usize, skip_aim: bool) {
        let parts = [&self.additive, &self.restored];
        for (part, bands) in parts.into_iter().enumerate().take(if skip_aim { 1 } else { 2 }) {
            let bands = bands.each_ref().map(|row| &row[from..to]);
            let around = &mut self.around[part][from..to];
            let centre = &mut self.centre[part][from..to];
            match weights {
                Weights::First(weights) => rows::mask_first(isa, bands, weights, around, centre),
                Weights::Later(weights) => rows::mask_later(isa, bands, weights, around, centre),
            }
        }
    }
}

fn fixed_weights(options: &AdmOptions, scale: usize, factors: [f32; 3]) -> Weights {
    let fixed = |factor: f32, bits: i32| (f64::from(factor) * 2.0_f64.powi(bits)) as u32;
    if scale > 0 {
        return Weights::Later(factors.map(|factor| i64::from(fixed(factor, 32))));
    }
    let is_default = (options.viewing.distance * f64::from(options.viewing.height) - 3240.0).abs() < 1e-8;
    if options.csf == Csf::Watson && is_default {
        return Weights::First([36_453, 36_453, 49_417]);
    }
    let line = fixed(factors[0], 21) as u16;
    Weights::First([line.into(), line.into(), (fixed(factors[2], 23) as u16).into()])
}

/// Right shifts of the cubes of a scale's bands.
fn cube_shifts(scale: usize, width: usize) -> [u32; 3] {
    let log = ceil_log2(width as u64);
    if scale == 0 { [log.saturating_sub(4), log.saturating_sub(4), log.saturating_sub(3)] } else { [log; 3] }
}

/// The bands' cube sums as one number: cube roots, each with the noise floor of the area.
fn pooled(
    sums: [i64; 3],
    scale: usize,
    (width, height): (usize, usize),
    region: Region,
    noise_weight: f64,
) -> f32 {
    const FRACTION: [[i32; 3]; 4] = [[52, 52, 57], [45; 3], [39; 3], [36; 3]];
    let cubes = cube_shifts(scale, width);
    let row_shift = ceil_log2(height as u64) as i32;
    let noise = cube_root((region.area() as f64 * noise_weight) as f32);
    let mut total = 0.0_f32;
    for band in 0..3 {
        let fraction = FRACTION[scale][band] - cubes[band] as i32 - row_shift;
        total += cube_root((sums[band] as f64 / 2.0_f64.powi(fraction)) as f32) + noise;
    }
    total
}

fn cube_root(x: f32) -> f32 {
    x.powf(1.0 / 3.0)
}

/// `value >> shift`, rounded to the nearest.
fn rounded_shift(value: i64, shift: u32) -> i64 {
    if shift == 0 { value } else { (value + (1 << (shift - 1))) >> shift }
}
