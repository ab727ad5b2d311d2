//! Integer ADM: how much of the reference's detail is lost (DLM, here adm2) and how much is added (AIM).
//!
//! Both pictures are taken apart by four wavelet levels. At each, the distorted detail is decoupled into a restored and
//! an additive part; both are weighted by contrast sensitivity, each is masked by the other, and their cubes are summed
//! over the middle of the picture. The sums over bands and scales are set against the same sum of the reference.
//!
//! Rows flow through a ring of three, because a threshold needs the rows above and below; no plane of intermediate values
//! but the bands themselves is kept. Variants of options share the bands.

#[cfg(target_arch = "x86_64")]
mod avx512;
pub(super) mod csf;
pub(super) mod dwt;
mod rows;

use std::ops::Range;

use backlot_frames::Frame;

use self::csf::{Csf, Viewing};
use self::dwt::{Bands, Dwt};
use self::rows::Masks;
use super::spec::Values;
use crate::kernel::ceil_log2;
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

/// Scratch: the reference's bands, those of two levels of a distorted picture, and the ring of rows.
#[derive(Debug, Default)]
pub(crate) struct Adm {
    dwt: Dwt,
    reference: [Bands; SCALES],
    distorted: [Bands; 2],
    ring: [Slot; 3],
    threshold: Vec<i32>,
}

/// Wavelet levels.
const SCALES: usize = 4;

/// One decoupled row.
#[derive(Debug, Default)]
struct Slot {
    /// What the reference explains, before any enhancement.
    explained: [Vec<i32>; 3],
    /// -1 where the directions of both pictures agree.
    agrees: Vec<i32>,
    parts: Vec<Part>,
}

/// One decoupled row of one variant.
#[derive(Debug, Default)]
struct Part {
    restored: [Vec<i32>; 3],
    additive: [Vec<i32>; 3],
    /// Mask rows of the additive part (for DLM) and of the restored part (for AIM).
    around: [Vec<i32>; 2],
    centre: [Vec<i32>; 2],
}

impl Slot {
    fn resize(&mut self, width: usize, variants: usize) {
        self.explained.iter_mut().for_each(|row| row.resize(width, 0));
        self.agrees.resize(width, 0);
        self.parts.resize_with(variants, Part::default);
        for part in &mut self.parts {
            let rows = part.restored.iter_mut().chain(&mut part.additive);
            for row in rows.chain(&mut part.around).chain(&mut part.centre) {
                row.resize(width, 0);
            }
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

/// A variant at one scale.
struct Variant<'a> {
    options: &'a AdmOptions,
    weights: Weights,
}

impl Adm {
    /// The least side: below it the wavelet's coarsest level has no middle.
    pub(crate) const MIN_SIDE: usize = 17;

    /// Scores of each of `distorted` for each of `variants`. The reference is transformed once.
    pub(crate) fn scores(
        &mut self,
        isa: Isa,
        reference: &Frame,
        distorted: &[&Frame],
        variants: &[AdmOptions],
    ) -> Result<Vec<Vec<AdmScore>>, Error> {
        let mut reference_bands = std::mem::take(&mut self.reference);
        let energies: [[Sum; 3]; SCALES] = std::array::from_fn(|scale| {
            let (before, from) = reference_bands.split_at_mut(scale);
            self.dwt.level(isa, reference, scale, before.last(), &mut from[0]);
            energy(isa, scale, &from[0])
        });
        let scores = distorted
            .iter()
            .map(|frame| {
                if frame.format() != reference.format() {
                    let (expected, got) = (reference.format(), frame.format());
                    return Err(backlot_frames::Error::FormatMismatch { expected, got }.into());
                }
                self.scores_of(isa, &reference_bands, &energies, frame, variants)
            })
            .collect();
        self.reference = reference_bands;
        scores
    }

    fn scores_of(
        &mut self,
        isa: Isa,
        reference: &[Bands; SCALES],
        energies: &[[Sum; 3]; SCALES],
        distorted: &Frame,
        variants: &[AdmOptions],
    ) -> Result<Vec<AdmScore>, Error> {
        let mut added = vec![0.0_f64; variants.len()];
        let mut scores = vec![AdmScore::default(); variants.len()];
        let mut bands = std::mem::take(&mut self.distorted);
        for scale in 0..SCALES {
            let [even, odd] = &mut bands;
            let (into, before) = if scale.is_multiple_of(2) { (even, odd) } else { (odd, even) };
            self.dwt.level(isa, distorted, scale, Some(before), into);
            let size = into.size();
            let region = Region::new(size.0, size.1);
            let (mut places, mut at_scale) = (Vec::new(), Vec::new());
            for (place, options) in variants.iter().enumerate() {
                if scale == 0 && options.skip_scale0 {
                    scores[place].scales[0] = (0.0, 1e-10);
                    continue;
                }
                let factors = csf::weights(options.csf, options.viewing, scale)?;
                let den = denominator(&energies[scale], region, factors, options.noise_weight);
                scores[place].scales[scale].1 = den;
                places.push(place);
                at_scale.push(Variant { options, weights: fixed_weights(options, scale, factors) });
            }
            let contrasts = self.contrast(isa, scale, &reference[scale], into, region, &at_scale);
            for ((place, variant), contrast) in places.into_iter().zip(&at_scale).zip(contrasts) {
                if !variant.options.skip_aim {
                    added[place] += f64::from(pooled(contrast.additive, scale, size, region, 0.0));
                }
                scores[place].scales[scale].0 =
                    pooled(contrast.restored, scale, size, region, variant.options.noise_weight);
            }
        }
        self.distorted = bands;
        let area = (distorted.format().width() * distorted.format().height()) as f64;
        let limit = 1e-10 * area / (1920.0 * 1080.0);
        for (score, added) in scores.iter_mut().zip(added) {
            let mut sums = (0.0, 0.0);
            for (num, den) in score.scales {
                sums = (sums.0 + f64::from(num), sums.1 + f64::from(den));
            }
            let (num, den) =
                (if sums.0 < limit { 0.0 } else { sums.0 }, if sums.1 < limit { 0.0 } else { sums.1 });
            (score.kept, score.added) = if den == 0.0 { (1.0, 0.0) } else { (num / den, added / den) };
        }
        Ok(scores)
    }

    /// Cube sums of a scale for each variant. Variants share how the distorted detail is explained by the reference's.
    fn contrast(
        &mut self,
        isa: Isa,
        scale: usize,
        reference: &Bands,
        distorted: &Bands,
        region: Region,
        variants: &[Variant<'_>],
    ) -> Vec<Contrast> {
        let (width, height) = reference.size();
        for slot in &mut self.ring {
            slot.resize(width, variants.len());
        }
        self.threshold.resize(width, 0);
        let row_shift = ceil_log2(height as u64);
        let cubes = cube_shifts(scale, width);
        let (from, to) = (region.left.saturating_sub(1), (region.right + 1).min(width));
        let mut contrasts = vec![Contrast::default(); variants.len()];
        let mut decoupled = region.top.saturating_sub(1);
        for y in region.top..region.bottom {
            while decoupled < (y + 2).min(height) {
                self.ring[decoupled % 3].decouple(
                    isa,
                    scale,
                    [reference, distorted],
                    decoupled,
                    from..to,
                    variants,
                );
                decoupled += 1;
            }
            let above = if y == 0 { 1.min(height - 1) } else { y - 1 };
            let rows = [above, y, (y + 1).min(height - 1)].map(|row| &self.ring[row % 3].parts);
            for (place, (variant, contrast)) in variants.iter().zip(&mut contrasts).enumerate() {
                let [above, here, below] = rows.map(|parts| &parts[place]);
                let parts = if variant.options.skip_aim { 1 } else { 2 };
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
                    let row = match variant.weights {
                        Weights::First(weights) => {
                            rows::contrast_first(isa, source, threshold, weights, cubes)
                        }
                        Weights::Later(weights) => {
                            rows::contrast_later(isa, source, threshold, weights, cubes[0])
                        }
                    };
                    for (sum, row) in sums.iter_mut().zip(row) {
                        *sum += rounded_shift(row, row_shift);
                    }
                }
            }
        }
        contrasts
    }
}

impl Slot {
    /// Decouples a row for all variants, and makes their masks.
    fn decouple(
        &mut self,
        isa: Isa,
        scale: usize,
        [reference, distorted]: [&Bands; 2],
        y: usize,
        columns: Range<usize>,
        variants: &[Variant<'_>],
    ) {
        let explained = self.explained.each_mut().map(|row| &mut row[columns.clone()]);
        let agrees = &mut self.agrees[columns.clone()];
        let cos_squared = rows::cos_squared();
        if scale == 0 {
            let [o, t] = [reference, distorted].map(|bands| bands.fine_row(y, columns.clone()));
            rows::explain_first(isa, o, t, cos_squared, explained, agrees);
        } else {
            let [o, t] = [reference, distorted].map(|bands| bands.row(y, columns.clone()));
            rows::explain_later(isa, o, t, cos_squared, explained, agrees);
        }
        let explained = self.explained.each_ref().map(|row| &row[columns.clone()]);
        let agrees = &self.agrees[columns.clone()];
        for (part, variant) in self.parts.iter_mut().zip(variants) {
            for band in 0..3 {
                let restored = &mut part.restored[band][columns.clone()];
                let additive = &mut part.additive[band][columns.clone()];
                let limit = variant.options.gain_limit;
                let explained = explained[band];
                if scale == 0 {
                    let t = &distorted.fine[band].row(y)[columns.clone()];
                    rows::enhance_first(isa, explained, agrees, t, limit, restored, additive);
                } else {
                    let t = &distorted.detail[band].row(y)[columns.clone()];
                    rows::enhance_later(isa, explained, agrees, t, limit, restored, additive);
                }
            }
            let masked = [&part.additive, &part.restored];
            let count = if variant.options.skip_aim { 1 } else { 2 };
            for (index, bands) in masked.into_iter().enumerate().take(count) {
                let bands = bands.each_ref().map(|row| &row[columns.clone()]);
                let around = &mut part.around[index][columns.clone()];
                let centre = &mut part.centre[index][columns.clone()];
                match variant.weights {
                    Weights::First(weights) => rows::mask_first(isa, bands, weights, around, centre),
                    Weights::Later(weights) => rows::mask_later(isa, bands, weights, around, centre),
                }
            }
        }
    }
}

/// A sum of cubes and the bits of its fraction.
#[derive(Clone, Copy, Debug)]
struct Sum {
    cubes: i64,
    fraction: i32,
}

/// Cube sums of the reference's own detail.
fn energy(isa: Isa, scale: usize, bands: &Bands) -> [Sum; 3] {
    let (width, height) = bands.size();
    let region = Region::new(width, height);
    let columns = region.left..region.right;
    std::array::from_fn(|band| {
        if scale == 0 {
            let row_shift = ceil_log2(region.area() as u64).saturating_sub(20);
            let row = |y: usize| rows::energy_first(isa, &bands.fine[band].row(y)[columns.clone()]);
            let cubes = (region.top..region.bottom).map(|y| rounded_shift(row(y) as i64, row_shift)).sum();
            Sum { cubes, fraction: 18 - row_shift as i32 }
        } else {
            let square = [31, 30, 31][scale - 1];
            let cube = ceil_log2((region.right - region.left) as u64);
            let row_shift = ceil_log2((region.bottom - region.top) as u64);
            let row =
                |y: usize| rows::energy_later(isa, &bands.detail[band].row(y)[columns.clone()], square, cube);
            let cubes = (region.top..region.bottom).map(|y| rounded_shift(row(y) as i64, row_shift)).sum();
            Sum { cubes, fraction: [32, 27, 23][scale - 1] - row_shift as i32 - cube as i32 }
        }
    })
}

/// The denominator: what the reference's own detail amounts to.
fn denominator(sums: &[Sum; 3], region: Region, factors: [f32; 3], noise_weight: f64) -> f32 {
    let noise = cube_root((region.area() as f64 * noise_weight) as f32);
    let mut total = 0.0_f32;
    for (sum, factor) in sums.iter().zip(factors) {
        let energy = sum.cubes as f64 / 2.0_f64.powi(sum.fraction) * f64::from(factor).powi(3);
        total += cube_root(energy as f32) + noise;
    }
    total
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
