//! The features of VMAF before it was integer arithmetic: `float_vif`, `float_adm` and `float_motion`, which the
//! `vmaf_float_*` models use.
//!
//! They are the same ideas as [`vif`](super::vif), [`adm`](super::adm) and [`motion`](super::motion), on samples of eight
//! bits around zero in single precision. Sums are rounded as libvmaf rounds them, row by row and tap by tap, so that numbers
//! agree to the last digit also where a picture is flat. They are here for old models; nothing is shared or fast.

use backlot_frames::Frame;

use super::adm::csf::{self, Csf, Viewing};
use super::adm::dwt::source;
use super::spec::Values;
use crate::Error;
use crate::isa::{Isa, kernel};
use crate::kernel::{Grid, centred, gaussian, gaussian_size, mirror, reflect_first};

type Plane = Grid<f32>;

/// Options of `float_vif`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FloatVifOptions {
    gain_limit: f32,
    kernel_scale: f32,
    noise: f32,
    skip_scale0: bool,
    least: [f64; 4],
}

impl FloatVifOptions {
    pub(crate) fn new(values: &Values) -> Self {
        let least = |scale: usize| {
            values.number(["", "vif_scale1_min_val", "vif_scale2_min_val", "vif_scale3_min_val"][scale])
        };
        Self {
            gain_limit: values.number("vif_enhn_gain_limit") as f32,
            kernel_scale: values.number("vif_kernelscale") as f32,
            noise: values.number("vif_sigma_nsq") as f32,
            skip_scale0: values.flag("vif_skip_scale0"),
            least: [0.0, least(1), least(2), least(3)],
        }
    }
}

/// Options of `float_adm`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FloatAdmOptions {
    csf: Csf,
    viewing: Viewing,
    gain_limit: f32,
    noise_weight: f64,
    dlm_weight: f64,
    least: f64,
    skip_scale0: bool,
}

impl FloatAdmOptions {
    pub(crate) fn new(values: &Values) -> Result<Self, Error> {
        let csf = match values.integer("adm_csf_mode") {
            0 => Csf::Watson,
            2 => Csf::Native,
            other => {
                let reason = format!("adm_csf_mode={other} is not built; take 0 (Watson) or 2 (that of DLM)");
                return Err(Error::Options { feature: "float_adm", reason });
            }
        };
        let viewing = Viewing {
            distance: values.number("adm_norm_view_dist"),
            height: values.integer("adm_ref_display_height") as i32,
        };
        Ok(Self {
            csf,
            viewing,
            gain_limit: values.number("adm_enhn_gain_limit") as f32,
            noise_weight: values.number("adm_noise_weight"),
            dlm_weight: values.number("adm_dlm_weight"),
            least: values.number("adm_min_val"),
            skip_scale0: values.flag("adm_skip_scale0"),
        })
    }
}

kernel! {
    fn add_weighted [] [] (sum: &mut [f32], row: &[f32], weight: f32) {
        let row = &row[..sum.len()];
        for x in 0..sum.len() {
            sum[x] += weight * row[x];
        }
    }
}

/// `value(row)` of all rows, filtered down and then across.
fn filtered(
    isa: Isa,
    (width, height): (usize, usize),
    filter: &[f32],
    mut value: impl FnMut(usize, &mut [f32]),
) -> Plane {
    let reach = filter.len() / 2;
    let mut source = Plane::default();
    source.resize(width, height);
    for y in 0..height {
        value(y, source.row_mut(y));
    }
    let mut plane = Plane::default();
    plane.resize(width, height);
    let mut padded = vec![0.0_f32; width + 2 * reach];
    for y in 0..height {
        padded.fill(0.0);
        for (tap, &weight) in filter.iter().enumerate() {
            let from = mirror((y + tap) as isize - reach as isize, height);
            add_weighted(isa, &mut padded[reach..reach + width], source.row(from), weight);
        }
        crate::kernel::mirror_row(&mut padded, reach, width);
        let out = plane.row_mut(y);
        out.fill(0.0);
        for (tap, &weight) in filter.iter().enumerate() {
            add_weighted(isa, out, &padded[tap..tap + width], weight);
        }
    }
    plane
}

fn blurred(isa: Isa, plane: &Plane, filter: &[f32]) -> Plane {
    filtered(isa, (plane.width, plane.height), filter, |y, out| out.copy_from_slice(plane.row(y)))
}

/// VIF of scales 0 to 3.
pub(crate) fn vif(isa: Isa, options: &FloatVifOptions, reference: &Frame, distorted: &Frame) -> [f64; 4] {
    let mut pair = [centred(reference), centred(distorted)];
    let mut scores = [0.0; 4];
    for scale in 0..4_u32 {
        let size = gaussian_size(scale, options.kernel_scale);
        let filter = gaussian(size, size as f32 / 5.0);
        if scale > 0 {
            pair = pair.map(|plane| halved(&blurred(isa, &plane, &filter)));
        }
        if scale == 0 && options.skip_scale0 {
            continue;
        }
        let (num, den) = vif_sums(isa, options, &pair, &filter);
        scores[scale as usize] = f64::from(num) / f64::from(den);
        if scale > 0 {
            scores[scale as usize] = scores[scale as usize].max(options.least[scale as usize]);
        }
    }
    scores
}

/// Even rows and columns.
fn halved(plane: &Plane) -> Plane {
    let mut half = Plane::default();
    half.resize(plane.width / 2, plane.height / 2);
    for y in 0..half.height {
        for (out, pair) in half.row_mut(y).iter_mut().zip(plane.row(2 * y).chunks(2)) {
            *out = pair[0];
        }
    }
    half
}

/// Information that arrives and that was sent, summed over a scale.
fn vif_sums(isa: Isa, options: &FloatVifOptions, pair: &[Plane; 2], filter: &[f32]) -> (f32, f32) {
    const EPSILON: f32 = 1e-10;
    let [a, b] = pair;
    let size = (a.width, a.height);
    let product = |first: &Plane, second: &Plane| {
        filtered(isa, size, filter, |y, out| {
            for ((out, a), b) in out.iter_mut().zip(first.row(y)).zip(second.row(y)) {
                *out = a * b;
            }
        })
    };
    let (mean1, mean2) = (blurred(isa, a, filter), blurred(isa, b, filter));
    let (aa, bb, ab) = (product(a, a), product(b, b), product(a, b));
    let noise = options.noise;
    let inverse_most = noise * noise / (255.0 * 255.0);
    let bits = |ratio: f64| log2((1.0 + ratio) as f32);
    let (mut num_sum, mut den_sum) = (0.0_f32, 0.0_f32);
    for y in 0..size.1 {
        let rows = [&mean1, &mean2, &aa, &bb, &ab].map(|plane| plane.row(y));
        let (mut num, mut den) = (0.0_f32, 0.0_f32);
        for x in 0..size.0 {
            let [mu1, mu2, aa, bb, ab] = rows.map(|row| row[x]);
            let covariance = ab - mu1 * mu2;
            let (mut sigma1, sigma2) = ((aa - mu1 * mu1).max(0.0), (bb - mu2 * mu2).max(0.0));
            let mut gain = covariance / (sigma1 + EPSILON);
            let mut rest = sigma2 - gain * covariance;
            if sigma1 < EPSILON {
                (gain, rest, sigma1) = (0.0, sigma2, 0.0);
            }
            if sigma2 < EPSILON {
                (gain, rest) = (0.0, 0.0);
            }
            if gain < 0.0 {
                (gain, rest) = (0.0, sigma2);
            }
            let (rest, gain) = (rest.max(EPSILON), gain.min(options.gain_limit));
            if sigma1 < noise {
                num += 1.0 - sigma2 * inverse_most;
                den += 1.0;
                continue;
            }
            den += bits(f64::from(sigma1) / f64::from(noise));
            if covariance >= 0.0 {
                num += bits(f64::from(gain * gain * sigma1) / (f64::from(rest) + f64::from(noise)));
            }
        }
        num_sum += num;
        den_sum += den;
    }
    (num_sum, den_sum)
}

/// The binary logarithm of a number of at least one as libvmaf takes it here: the exponent, and a polynomial in the rest of
/// the mantissa, highest power first.
fn log2(x: f32) -> f32 {
    const POLYNOMIAL: [f32; 9] = [
        -0.012_671_635_5,
        0.064_841_18,
        -0.157_048_84,
        0.257_167_73,
        -0.353_800_57,
        0.480_131_42,
        -0.721_314_3,
        1.442_694_8,
        0.0,
    ];
    let exponent = (x.to_bits() >> 23) as i32 - 127;
    let rest = f32::from_bits((x.to_bits() & 0x007f_ffff) | 0x3f80_0000) - 1.0;
    exponent as f32 + POLYNOMIAL.iter().fold(0.0, |sum, power| sum * rest + power)
}

/// Low-pass of motion.
const MOTION_FILTER: [f32; 5] = [0.054_488_685, 0.244_201_34, 0.402_619_95, 0.244_201_34, 0.054_488_685];

/// Mean absolute difference of two low-passed luma planes.
pub(crate) fn motion(isa: Isa, earlier: &Frame, now: &Frame) -> f64 {
    let [a, b] = [earlier, now].map(|frame| blurred(isa, &centred(frame), &MOTION_FILTER));
    let mut sum = 0.0_f32;
    for y in 0..a.height {
        let row = a.row(y).iter().zip(b.row(y));
        sum += row.fold(0.0, |sum, (a, b)| sum + (a - b).abs());
    }
    f64::from(sum / (a.width * a.height) as f32)
}

/// Bands of a wavelet level: approximation, and horizontal, vertical and diagonal detail.
struct Bands {
    approximation: Plane,
    detail: [Plane; 3],
}

fn wavelet(plane: &Plane) -> Bands {
    const LOW: [f32; 4] = [0.482_962_9, 0.836_516_3, 0.224_143_87, -0.129_409_52];
    const HIGH: [f32; 4] = [-0.129_409_52, -0.224_143_87, 0.836_516_3, -0.482_962_9];
    let (width, height) = (plane.width, plane.height);
    let empty = || {
        let mut band = Plane::default();
        band.resize(width.div_ceil(2), height.div_ceil(2));
        band
    };
    let mut bands = Bands { approximation: empty(), detail: [empty(), empty(), empty()] };
    let (mut low, mut high) = (vec![0.0_f32; width], vec![0.0_f32; width]);
    for y in 0..height.div_ceil(2) {
        let rows: [&[f32]; 4] = std::array::from_fn(|tap| plane.row(source(y, tap, height)));
        for x in 0..width {
            let dot = |filter: [f32; 4]| (0..4).fold(0.0, |sum, tap| sum + filter[tap] * rows[tap][x]);
            (low[x], high[x]) = (dot(LOW), dot(HIGH));
        }
        let [h, v, d] = &mut bands.detail;
        let out = [(&low, LOW, &mut bands.approximation), (&low, HIGH, v), (&high, LOW, h), (&high, HIGH, d)];
        for (row, filter, band) in out {
            for (x, value) in band.row_mut(y).iter_mut().enumerate() {
                *value = (0..4).fold(0.0, |sum, tap| sum + filter[tap] * row[source(x, tap, width)]);
            }
        }
    }
    bands
}

/// adm2, aim, adm3 and the four scales.
pub(crate) fn adm(
    options: &FloatAdmOptions,
    reference: &Frame,
    distorted: &Frame,
) -> Result<[f64; 7], Error> {
    let (mut num, mut den, mut added) = (0.0, 0.0, 0.0);
    let mut scales = [0.0; 4];
    let mut pair = [centred(reference), centred(distorted)];
    let format = reference.format();
    let area = (format.width() * format.height()) as f64;
    for (scale, shown) in scales.iter_mut().enumerate() {
        let [o, t] = pair.map(|plane| wavelet(&plane));
        let sums = if scale == 0 && options.skip_scale0 {
            [0.0, 1e-10, 0.0]
        } else {
            adm_scale(options, &o.detail, &t.detail, csf::weights(options.csf, options.viewing, scale)?)
        };
        *shown = sums[0] / sums[1];
        (num, den, added) = (num + sums[0], den + sums[1], added + sums[2]);
        pair = [o.approximation, t.approximation];
    }
    // A flat picture keeps everything.
    let limit = 1e-10 * area / (1920.0 * 1080.0);
    let kept = if den < limit { 1.0 } else { (if num < limit { 0.0 } else { num }) / den };
    let aim = if den < limit { 0.0 } else { (added / den).min(1.0) };
    let joined = (kept * options.dlm_weight + (1.0 - aim) * (1.0 - options.dlm_weight)).max(options.least);
    Ok([kept, aim, joined, scales[0], scales[1], scales[2], scales[3]])
}

/// What is kept of the detail of one scale, all of it, and what is added.
fn adm_scale(options: &FloatAdmOptions, o: &[Plane; 3], t: &[Plane; 3], factors: [f32; 3]) -> [f64; 3] {
    let (width, height) = (o[0].width, o[0].height);
    let mut parts: [[Plane; 3]; 2] = Default::default();
    for plane in parts.iter_mut().flatten() {
        plane.resize(width, height);
    }
    let cosine = (1.0 * std::f64::consts::PI / 180.0).cos();
    let cos_squared = (cosine * cosine) as f32;
    for y in 0..height {
        for x in 0..width {
            let (o, t) = (o.each_ref().map(|band| band.row(y)[x]), t.each_ref().map(|band| band.row(y)[x]));
            let product = o[0] * t[0] + o[1] * t[1];
            let squares = (o[0] * o[0] + o[1] * o[1], t[0] * t[0] + t[1] * t[1]);
            let agrees = product >= 0.0 && product * product >= cos_squared * squares.0 * squares.1;
            for band in 0..3 {
                let share = quotient(t[band], o[band] + 1e-30).clamp(0.0, 1.0);
                let mut restored = share * o[band];
                if agrees && restored > 0.0 {
                    restored = (restored * options.gain_limit).min(t[band]);
                } else if agrees && restored < 0.0 {
                    restored = (restored * options.gain_limit).max(t[band]);
                }
                parts[0][band].row_mut(y)[x] = restored * factors[band];
                parts[1][band].row_mut(y)[x] = (t[band] - restored) * factors[band];
            }
        }
    }
    let border = |n: usize| (n as f64 * 0.1 - 0.5) as usize;
    let (left, top) = (border(width), border(height));
    let (right, bottom) = (width - left, height - top);
    let noise = |weight: f64| cube_root((((right - left) * (bottom - top)) as f64 * weight) as f32);
    let [restored, additive] = &parts;
    let contrast = |bands: &[Plane; 3], other: &[Plane; 3], weight: f64| {
        let mut sums = [0.0_f32; 3];
        for y in top..bottom {
            let mut row_sums = [0.0_f32; 3];
            for x in left..right {
                let threshold = threshold(other, x, y);
                for (sum, band) in row_sums.iter_mut().zip(bands) {
                    *sum += cube((band.row(y)[x].abs() - threshold).max(0.0));
                }
            }
            for (sum, row_sum) in sums.iter_mut().zip(row_sums) {
                *sum += row_sum;
            }
        }
        sums.into_iter().fold(0.0, |sum, band| sum + (cube_root(band) + noise(weight)))
    };
    let mut energy = 0.0;
    for (band, factor) in o.iter().zip(factors) {
        let row_sum = |y: usize| {
            band.row(y)[left..right].iter().fold(0.0, |sum, value| sum + cube((factor * value).abs()))
        };
        let sum = (top..bottom).map(row_sum).fold(0.0, |sum, row| sum + row);
        energy += cube_root(sum) + noise(options.noise_weight);
    }
    [contrast(restored, additive, options.noise_weight), energy, contrast(additive, restored, 0.0)]
        .map(f64::from)
}

/// `n / d` as libvmaf divides here: on x86-64 by the processor's approximate reciprocal and one step of Newton's method, whose
/// last bit differs between makers of processors.
#[cfg(target_arch = "x86_64")]
fn quotient(n: f32, d: f32) -> f32 {
    use std::arch::x86_64::{_mm_cvtss_f32, _mm_rcp_ss, _mm_set_ss};
    #[allow(unsafe_code, reason = "an instruction of SSE")]
    // SAFETY: every processor of this architecture has SSE.
    let guess = unsafe { _mm_cvtss_f32(_mm_rcp_ss(_mm_set_ss(d))) };
    n * (guess + guess * (1.0 - d * guess))
}

#[cfg(not(target_arch = "x86_64"))]
fn quotient(n: f32, d: f32) -> f32 {
    n / d
}

fn cube(x: f32) -> f32 {
    x * x * x
}

fn cube_root(x: f32) -> f32 {
    x.powf(1.0 / 3.0)
}

/// What the other part around a place hides there: a thirtieth of its neighbours, a fifteenth of itself, of all bands.
fn threshold(other: &[Plane; 3], x: usize, y: usize) -> f32 {
    // As libvmaf has them, to so many digits.
    const THIRTIETH: f64 = 0.033_333_335_1;
    const FIFTEENTH: f64 = 0.066_666_670_1;
    let around = |at: usize, n: usize| [-1, 0, 1].map(|step| reflect_first(at as isize + step, n));
    let mut all = 0.0_f32;
    for band in other {
        let mut sum = 0.0_f32;
        for (row, y) in around(y, band.height).into_iter().enumerate() {
            for (column, x) in around(x, band.width).into_iter().enumerate() {
                let value = f64::from(band.row(y)[x].abs());
                if row == 1 && column == 1 {
                    sum = (f64::from(sum) + FIFTEENTH * value) as f32;
                } else {
                    sum += (THIRTIETH * value) as f32;
                }
            }
        }
        all += sum;
    }
    all
}

/// motion2, motion and motion3 of all frames from their differences.
pub(crate) fn finish_motion(options: &super::motion::MotionOptions, sad: &[f64]) -> [Vec<f64>; 3] {
    let blend = |x: f64| {
        (x * options.blend_factor + (1.0 - options.blend_factor) * options.blend_offset.min(x))
            .min(options.max)
    };
    let raw = |i: usize| sad.get(i).copied().map(|sad| sad * options.fps_weight);
    let second = |i: usize| match (raw(i), raw(i + 1)) {
        (Some(now), Some(next)) if i > 0 => now.min(next),
        (Some(now), _) if i > 0 => now,
        _ => 0.0,
    };
    let count = sad.len();
    let limited = |values: Vec<f64>| values.into_iter().map(|value| value.min(options.max)).collect();
    let motion2 = limited((0..count).map(second).collect());
    let motion = limited((0..count).map(|i| if i == 0 { 0.0 } else { raw(i).unwrap_or(0.0) }).collect());
    let third = |i: usize| if i == 0 { raw(1).map_or(0.0, blend) } else { blend(second(i)) };
    [motion2, motion, (0..count).map(third).collect()]
}
