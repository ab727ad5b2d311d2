//! PSNR-HVS: PSNR after the eye's sensitivity to frequencies and the masking of a block's own detail (Ponomarenko et al.
//! 2007; transform and weights of the Daala project).
//!
//! Blocks of 8x8 lie every seven samples. Both are transformed with an integer DCT of lifting steps; where a coefficient's
//! difference is below what the block's own detail masks, it does not count.

#![allow(clippy::excessive_precision, reason = "the published digits")]

use backlot_frames::{Format, Frame, Plane, Sample};

use super::psnr::plane_size;
use crate::isa::{Isa, kernel};
use crate::kernel::{PlanePair, plane_pair};

const SIDE: usize = 8;
const STEP: usize = 7;

/// Upper triangles of the symmetric weights: contrast sensitivity by frequency, row by row from the diagonal.
const LUMA: [f32; 36] = [
    1.619_387_300_5,
    2.290_159_483_1,
    2.085_097_556_23,
    1.483_660_944_11,
    1.002_275_143_34,
    0.678_296_995_242,
    0.466_224_900_598,
    0.326_509_154_2,
    1.943_218_153_82,
    2.047_930_730_64,
    1.687_311_089_84,
    1.230_566_696_3,
    0.868_920_337_363,
    0.612_809_916_68,
    0.436_405_793_551,
    1.343_290_192_23,
    1.092_056_358_62,
    0.875_748_795_257,
    0.670_882_927_016,
    0.501_731_932_449,
    0.372_504_254_596,
    0.772_819_797_575,
    0.605_636_379_554,
    0.483_094_056_92,
    0.380_429_446_972,
    0.295_774_038_565,
    0.448_996_256_676,
    0.352_889_268_808,
    0.283_006_984_131,
    0.226_951_348_204,
    0.270_320_734_36,
    0.215_017_739_696,
    0.174_080_673_21,
    0.168_869_545_842,
    0.136_153_931_001,
    0.109_083_846_276,
];
const BLUE: [f32; 36] = [
    1.911_130_969_27,
    2.460_742_104_38,
    1.182_841_847_39,
    1.149_825_651_93,
    1.050_170_747_88,
    0.898_018_824_055,
    0.747_253_920_39,
    0.615_105_596_242,
    1.585_293_083_55,
    1.213_632_500_36,
    1.381_900_292_85,
    1.331_001_899_72,
    1.174_285_489_29,
    0.996_404_342_439,
    0.830_890_433_625,
    0.978_712_413_627,
    1.026_245_060_78,
    1.031_451_473_62,
    0.960_060_382_087,
    0.849_823_426_169,
    0.731_221_236_837,
    0.861_317_501_629,
    0.801_821_139_099,
    0.751_437_590_932,
    0.685_398_513_368,
    0.608_694_761_374,
    0.676_555_426_187,
    0.605_503_172_737,
    0.550_020_136_68,
    0.495_804_539_034,
    0.514_674_450_957,
    0.454_353_482_512,
    0.407_050_308_965,
    0.389_234_902_883,
    0.342_353_999_733,
    0.295_530_605_237,
];
const RED: [f32; 36] = [
    2.038_719_785_02,
    2.625_023_451_93,
    1.261_809_428_86,
    1.110_197_898_03,
    1.013_977_514_69,
    0.867_069_376_285,
    0.721_500_455_585,
    0.593_906_509_971,
    1.691_128_670_13,
    1.171_805_698_21,
    1.334_274_285_7,
    1.285_130_061_98,
    1.133_814_748_09,
    0.962_064_122_248,
    0.802_254_508_198,
    0.944_981_930_573,
    0.990_876_405_848,
    0.995_903_384_143,
    0.926_972_725_286,
    0.820_534_991_409,
    0.706_020_324_706,
    0.831_632_933_426,
    0.774_187_061_95,
    0.725_539_939_514,
    0.661_776_842_059,
    0.587_716_619_023,
    0.653_238_524_286,
    0.584_635_025_748,
    0.531_064_164_893,
    0.478_717_061_273,
    0.496_936_637_883,
    0.438_694_579_826,
    0.393_021_669_543,
    0.375_820_256_136,
    0.330_555_063_063,
    0.285_345_396_658,
];
/// Sensitivity times this, squared, is how strongly a coefficient masks.
const MASKING: f64 = 0.388_574_622_590_100_3;

/// The least side: a chroma plane must hold a block.
pub(crate) fn min_side(format: Format) -> usize {
    SIDE * format.width().div_ceil(plane_size(format, 1).0.max(1))
}

/// Weights and masks of a plane.
struct Weights {
    sensitivity: [f32; SIDE * SIDE],
    masking: [f32; SIDE * SIDE],
}

impl Weights {
    fn new(triangle: &[f32; 36]) -> Self {
        let mut sensitivity = [0.0; SIDE * SIDE];
        let mut place = 0;
        for row in 0..SIDE {
            for column in row..SIDE {
                sensitivity[row * SIDE + column] = triangle[place];
                sensitivity[column * SIDE + row] = triangle[place];
                place += 1;
            }
        }
        let masking = sensitivity.map(|weight| {
            let masking = f64::from(weight) * MASKING;
            (masking * masking) as f32
        });
        Self { sensitivity, masking }
    }
}

/// Scores of the three planes and of all, in dB.
pub(crate) fn scores(isa: Isa, reference: &Frame, distorted: &Frame) -> [f64; 4] {
    let format = reference.format();
    let peak = f32::from(format.depth().peak());
    let mut errors = [0.0; 3];
    for (index, (error, triangle)) in errors.iter_mut().zip([&LUMA, &BLUE, &RED]).enumerate() {
        let weights = Weights::new(triangle);
        let size = plane_size(format, index);
        let sum = match plane_pair(reference, distorted, index) {
            Some(PlanePair::Eight(a, b)) => plane_error(isa, a, b, size, &weights),
            Some(PlanePair::Deep(a, b)) => plane_error(isa, a, b, size, &weights),
            None => 0.0,
        };
        *error = f64::from(sum / (peak * peak));
    }
    let decibel = |error: f64| 10.0 * -error.log10();
    let all = errors[0] * 0.8 + 0.1 * (errors[1] + errors[2]);
    [decibel(errors[0]), decibel(errors[1]), decibel(errors[2]), decibel(all)]
}

/// Blocks that are transformed at once: loops over them become vectors.
const BLOCKS: usize = 32;
/// A sample or coefficient of [`BLOCKS`] blocks, by its place in the block.
type Blocks = [[i32; BLOCKS]; SIDE * SIDE];

/// Scratch of a group of blocks.
#[derive(Debug)]
struct Group {
    samples: [Blocks; 2],
    half: Blocks,
    whole: [Blocks; 2],
    /// What is seen of the difference, squared.
    errors: [[f32; BLOCKS]; SIDE * SIDE],
}

fn plane_error<S: Sample>(
    isa: Isa,
    a: &Plane<S>,
    b: &Plane<S>,
    (width, height): (usize, usize),
    weights: &Weights,
) -> f32 {
    let empty = [[0; BLOCKS]; SIDE * SIDE];
    let mut group = Box::new(Group {
        samples: [empty, empty],
        half: empty,
        whole: [empty, empty],
        errors: [[0.0; BLOCKS]; SIDE * SIDE],
    });
    let columns = (width + 1).saturating_sub(SIDE).div_ceil(STEP);
    let (mut sum, mut blocks) = (0.0_f32, 0_usize);
    for y in (0..(height + 1).saturating_sub(SIDE)).step_by(STEP) {
        let rows =
            [a, b].map(|plane| -> [&[S]; SIDE] { std::array::from_fn(|row| &plane.row(y + row)[..width]) });
        for start in (0..columns).step_by(BLOCKS) {
            let count = BLOCKS.min(columns - start);
            for (samples, rows) in group.samples.iter_mut().zip(&rows) {
                take(rows, start, count, samples);
            }
            group_errors(isa, &mut group, weights);
            // Coefficient by coefficient in single precision, whose roundings libvmaf's scores are made of.
            for block in 0..count {
                for place in &group.errors {
                    sum += place[block];
                }
            }
            blocks += count;
        }
    }
    sum / (blocks.max(1) * SIDE * SIDE) as f32
}

/// Samples of `count` blocks from the `start`th of a row of blocks.
fn take<S: Sample>(rows: &[&[S]; SIDE], start: usize, count: usize, samples: &mut Blocks) {
    for (row, places) in rows.iter().zip(samples.chunks_exact_mut(SIDE)) {
        for block in 0..count {
            let from = &row[(start + block) * STEP..][..SIDE];
            for (place, &sample) in places.iter_mut().zip(from) {
                let sample: u32 = sample.into();
                place[block] = sample as i32;
            }
        }
    }
}

kernel! {
    /// The error of every block of a group.
    fn group_errors [] [] (group: &mut Group, weights: &Weights) {
        let Group { samples, half, whole, errors } = group;
        let mut detail = [[0.0_f32; BLOCKS]; 2];
        for side in 0..2 {
            let mut spread = [0.0_f32; BLOCKS];
            spreads(&samples[side], &mut spread);
            transform(&samples[side], half, &mut whole[side]);
            let mut sums = [0.0_f32; BLOCKS];
            for place in 1..SIDE * SIDE {
                for block in 0..BLOCKS {
                    let value = whole[side][place][block];
                    sums[block] += (value * value) as f32 * weights.masking[place];
                }
            }
            for block in 0..BLOCKS {
                detail[side][block] = (sums[block] * spread[block]).sqrt() / 32.0;
            }
        }
        let mut mask = [0.0_f32; BLOCKS];
        for block in 0..BLOCKS {
            mask[block] = detail[0][block].max(detail[1][block]);
        }
        for place in 0..SIDE * SIDE {
            let (masking, sensitivity) = (weights.masking[place], weights.sensitivity[place]);
            for block in 0..BLOCKS {
                let difference = (whole[0][place][block] - whole[1][place][block]).abs() as f32;
                let hidden = if place == 0 { 0.0 } else { mask[block] / masking };
                let seen = if difference < hidden { 0.0 } else { difference - hidden };
                let weighted = seen * sensitivity;
                errors[place][block] = weighted * weighted;
            }
        }
    }
}

/// The variance within quarters as a share of the block's.
#[allow(clippy::inline_always, clippy::needless_range_loop, reason = "part of a kernel")]
#[inline(always)]
fn spreads(samples: &Blocks, spread: &mut [f32; BLOCKS]) {
    let quarter = |place: usize| place / (SIDE * SIDE / 2) + 2 * (place % SIDE / (SIDE / 2));
    let (mut mean, mut means) = ([0.0_f32; BLOCKS], [[0.0_f32; BLOCKS]; 4]);
    for place in 0..SIDE * SIDE {
        let own = quarter(place);
        for block in 0..BLOCKS {
            mean[block] += samples[place][block] as f32;
            means[own][block] += samples[place][block] as f32;
        }
    }
    for block in 0..BLOCKS {
        mean[block] /= 64.0;
        for own in 0..4 {
            means[own][block] /= 16.0;
        }
    }
    let (mut variance, mut variances) = ([0.0_f32; BLOCKS], [[0.0_f32; BLOCKS]; 4]);
    for place in 0..SIDE * SIDE {
        let own = quarter(place);
        for block in 0..BLOCKS {
            let sample = samples[place][block] as f32;
            let (from_all, from_own) = (sample - mean[block], sample - means[own][block]);
            variance[block] += from_all * from_all;
            variances[own][block] += from_own * from_own;
        }
    }
    for block in 0..BLOCKS {
        let variance = variance[block] * (1.0 / 63.0 * 64.0);
        let mut within = 0.0_f32;
        for own in 0..4 {
            within += variances[own][block] * (1.0 / 15.0 * 16.0);
        }
        spread[block] = if variance > 0.0 { within / variance } else { variance };
    }
}

/// The two-dimensional transform: columns, then rows.
#[allow(clippy::inline_always, clippy::needless_range_loop, reason = "part of a kernel")]
#[inline(always)]
fn transform(samples: &Blocks, half: &mut Blocks, whole: &mut Blocks) {
    for column in 0..SIDE {
        for block in 0..BLOCKS {
            let mut line = [0; SIDE];
            for row in 0..SIDE {
                line[row] = samples[row * SIDE + column][block];
            }
            let line = transform_line(line);
            for place in 0..SIDE {
                half[column * SIDE + place][block] = line[place];
            }
        }
    }
    for row in 0..SIDE {
        for block in 0..BLOCKS {
            let mut line = [0; SIDE];
            for column in 0..SIDE {
                line[column] = half[column * SIDE + row][block];
            }
            let line = transform_line(line);
            for place in 0..SIDE {
                whole[row * SIDE + place][block] = line[place];
            }
        }
    }
}

/// `x · factor / 2^bits`, rounded.
#[allow(clippy::inline_always, reason = "part of a kernel")]
#[inline(always)]
fn times(x: i32, factor: i32, bits: u32) -> i32 {
    (x.wrapping_mul(factor).wrapping_add(1 << (bits - 1))) >> bits
}

/// Half, rounded towards zero.
#[allow(clippy::inline_always, reason = "part of a kernel")]
#[inline(always)]
fn halved(x: i32) -> i32 {
    (x + i32::from(x < 0)) >> 1
}

/// Eight points of the reversible DCT: butterflies, then rotations as three lifting steps each. The factors are
/// `√2-1`, `√½`, `2-√2`, `√2-½` and half-angle tangents and sines of π/16, 3π/16 and 3π/8.
#[allow(clippy::inline_always, reason = "part of a kernel")]
#[inline(always)]
fn transform_line(x: [i32; SIDE]) -> [i32; SIDE] {
    // Sums and differences of opposite samples.
    let difference0 = x[0] - x[7];
    let half0 = halved(difference0);
    let sum0 = x[0] - half0;
    let sum1 = x[1] + x[6];
    let half1 = halved(sum1);
    let difference1 = x[6] - half1;
    let difference2 = x[2] - x[5];
    let sum2 = x[2] - halved(difference2);
    let sum3 = x[3] + x[4];
    let half3 = halved(sum3);
    let difference3 = half3 - x[4];
    // Even coefficients: a transform of four points.
    let mut even0 = sum0 + half3;
    let mut even6 = even0 - sum3;
    let mut even2 = half1 - sum2;
    let mut even4 = even2 - sum1;
    even0 -= times(even4, 13_573, 15);
    even4 += times(even0, 11_585, 14);
    even0 -= times(even4, 13_573, 15);
    even6 -= times(even2, 21_895, 15);
    even2 += times(even6, 15_137, 14);
    even6 -= times(even2, 21_895, 15);
    // Odd coefficients: a sine transform of four points.
    let (mut odd1, mut odd3, mut odd5, mut odd7) = (difference0, difference2, difference1, difference3);
    odd3 += times(odd5, 19_195, 15);
    odd5 += times(odd3, 11_585, 14);
    odd3 -= times(odd5, 7489, 13);
    odd7 = halved(odd5) - odd7;
    odd5 -= odd7;
    odd3 = half0 - odd3;
    odd1 -= odd3;
    odd7 += times(odd1, 3227, 15);
    odd1 -= times(odd7, 6393, 15);
    odd7 += times(odd1, 3227, 15);
    odd5 += times(odd3, 2485, 13);
    odd3 -= times(odd5, 18_205, 15);
    odd5 += times(odd3, 2485, 13);
    [even0, odd1, even2, odd3, even4, odd5, even6, odd7]
}
