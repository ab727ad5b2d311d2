//! CIEDE2000: the mean colour difference, as `45 - 20 log10(mean ΔE00)` (Sharma, Wu and Dalal 2005; weights 0.65, 1 and 4
//! of lightness, chroma and hue).
//!
//! Samples are BT.709 of limited range; chroma is repeated to the size of luma. Rows of colours are converted to CIELAB
//! and compared in single precision, with polynomials in place of the powers and angles, so that loops become vectors;
//! no step depends on the order of additions, and every instruction set gives the same bits. Rows that are the same sample
//! for sample have no difference to compute.

use backlot_frames::{Frame, Pixels, Subsampling};

use super::psnr::plane_size;
use crate::isa::{Isa, kernel};
use crate::kernel::total;

/// Samples that libvmaf's rows are rounded up to; see [`chroma_row`].
const STRIDE_UNIT: usize = 64;

/// Scratch: samples of a row, its colours, and the differences.
#[derive(Debug, Default)]
pub(crate) struct Ciede {
    samples: [[Vec<u16>; 3]; 2],
    colours: [[Vec<f32>; 3]; 2],
    differences: Vec<f32>,
}

impl Ciede {
    /// The score of a frame.
    pub(crate) fn score(&mut self, isa: Isa, reference: &Frame, distorted: &Frame) -> f64 {
        let format = reference.format();
        let (width, height) = (format.width(), format.height());
        self.samples.iter_mut().flatten().for_each(|row| row.resize(width, 0));
        self.colours.iter_mut().flatten().for_each(|row| row.resize(width, 0.0));
        self.differences.resize(width, 0.0);
        let unit = 1.0 / (1_u32 << (format.depth().bits() - 8)) as f32;
        let mut sum = 0.0;
        for y in 0..height {
            for (samples, frame) in self.samples.iter_mut().zip([reference, distorted]) {
                take_row(samples, frame, y);
            }
            if self.samples[0] == self.samples[1] {
                continue;
            }
            for (samples, colours) in self.samples.iter().zip(&mut self.colours) {
                let [luma, blue, red] = samples.each_ref().map(Vec::as_slice);
                let [lightness, a, b] = colours.each_mut().map(Vec::as_mut_slice);
                to_lab(isa, luma, blue, red, unit, lightness, a, b);
            }
            let [first, second] =
                self.colours.each_ref().map(|colours| colours.each_ref().map(Vec::as_slice));
            compare(isa, first, second, &mut self.differences);
            sum += total(isa, &self.differences);
        }
        45.0 - 20.0 * (sum / (width * height) as f64).log10()
    }
}

/// Samples of row `y` of each plane, chroma repeated.
fn take_row(row: &mut [Vec<u16>; 3], frame: &Frame, y: usize) {
    fn widen<S: Copy + Into<u32>>(out: &mut [u16], samples: &[S]) {
        for (out, &sample) in out.iter_mut().zip(samples) {
            *out = sample.into() as u16;
        }
    }
    match frame.pixels() {
        Pixels::Eight(planes) => widen(&mut row[0], planes[0].row(y)),
        Pixels::Deep(planes) => widen(&mut row[0], planes[0].row(y)),
    }
    for plane in 1..3 {
        if frame.format().subsampling() == Subsampling::C444 {
            match frame.pixels() {
                Pixels::Eight(planes) => widen(&mut row[plane], planes[plane].row(y)),
                Pixels::Deep(planes) => widen(&mut row[plane], planes[plane].row(y)),
            }
        } else {
            chroma_row(&mut row[plane], frame, plane, y);
        }
    }
}

/// The chroma that libvmaf gives row `y`. It takes one direction's subsampling for the other's: of 4:2:2 it halves rows and
/// repeats no columns, and so reads on behind a row's end; with an odd width of 4:2:0 it reads one sample behind it. There
/// lie zeros up to a multiple of [`STRIDE_UNIT`], then the next row. Behind the last row of an odd height it reads what is
/// not its own; here that row is the chroma's last.
fn chroma_row(out: &mut [u16], frame: &Frame, plane: usize, y: usize) {
    fn fill<S: backlot_frames::Sample>(
        out: &mut [u16],
        plane: &backlot_frames::Plane<S>,
        (width, height): (usize, usize),
        across: usize,
        y: usize,
    ) {
        let stride = width.max(1).next_multiple_of(STRIDE_UNIT);
        let row = y / 2;
        if row >= height {
            let samples = plane.row(plane.height() - 1);
            for (x, out) in out.iter_mut().enumerate() {
                *out = samples[(x / across).min(samples.len() - 1)].into() as u16;
            }
            return;
        }
        for (start, out) in out.chunks_mut(stride * across).enumerate() {
            let samples = &plane.row((row + start).min(plane.height() - 1))[..width];
            for (out, sample) in
                out.chunks_mut(across).zip(samples.iter().chain(std::iter::repeat(&S::default())))
            {
                out.fill((*sample).into() as u16);
            }
        }
    }
    let size = plane_size(frame.format(), plane);
    let across = if frame.format().subsampling() == Subsampling::C420 { 2 } else { 1 };
    match frame.pixels() {
        Pixels::Eight(planes) => fill(out, &planes[plane], size, across, y),
        Pixels::Deep(planes) => fill(out, &planes[plane], size, across, y),
    }
}

/// `c0 + x (c1 + x (c2 + …))`.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    let mut k = N - 1;
    while k > 0 {
        k -= 1;
        sum = sum * x + coefficients[k];
    }
    sum
}

/// `x^0.4` of positive numbers, through their logarithm of base two.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn two_fifths_power(x: f32) -> f32 {
    // A mantissa from √½ to √2, and its exponent.
    let bits = x.to_bits();
    let exponent = ((bits.wrapping_sub(0x3f35_04f3)) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((exponent as u32) << 23));
    // log2 m = 2 / ln 2 · artanh((m - 1) / (m + 1)).
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let series = polynomial(s * s, [1.0, 1.0 / 3.0, 0.2, 1.0 / 7.0, 1.0 / 9.0]);
    let log = exponent as f32 + (2.0 * std::f32::consts::LOG2_E) * s * series;
    exp2(0.4 * log)
}

/// `2^x` for x from -126 to 127.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Adding 1.5 · 2^23 leaves the nearest whole number in the last bits.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x + SHIFT;
    let fraction = x - (shifted - SHIFT);
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    // Powers of ln 2 over factorials.
    let series = [
        1.0,
        std::f32::consts::LN_2,
        0.240_226_5,
        0.055_504_11,
        0.009_618_129,
        0.001_333_355_8,
        0.000_154_035_3,
        0.000_015_252_73,
    ];
    scale * polynomial(fraction, series)
}

/// Light of a channel: the inverse of the transfer function.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn linear(value: f32) -> f32 {
    let base = (value.max(10.0 / 255.0) + 0.055) * (1.0 / 1.055);
    let power = base * base * two_fifths_power(base);
    if value > 10.0 / 255.0 { power } else { value * (1.0 / 12.92) }
}

/// CIELAB's function of a share of white.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn root(value: f32) -> f32 {
    const KAPPA: f32 = 24_389.0 / 27.0;
    const EPSILON: f32 = 216.0 / 24_389.0;
    let x = value.max(EPSILON);
    // A third of the bits is a root to five percent; a step of Halley's and one of Newton's make it exact.
    let guess = f32::from_bits((x.to_bits() as i32 as f32 * (1.0 / 3.0)) as i32 as u32 + 0x2a51_19f2);
    let cube = guess * guess * guess;
    let guess = guess * (cube + 2.0 * x) / (2.0 * cube + x);
    let third = guess - (guess - x / (guess * guess)) * (1.0 / 3.0);
    if value > EPSILON { third } else { (KAPPA * value + 16.0) * (1.0 / 116.0) }
}

kernel! {
    /// CIELAB of samples; `unit` is one level of eight bits as a share of a sample's.
    fn to_lab [] [] (
        luma: &[u16], blue: &[u16], red: &[u16], unit: f32, lightness: &mut [f32], a: &mut [f32], b: &mut [f32],
    ) {
        let width = luma.len();
        let (blue, red) = (&blue[..width], &red[..width]);
        let (lightness, a, b) = (&mut lightness[..width], &mut a[..width], &mut b[..width]);
        for x in 0..width {
            let y = (f32::from(luma[x]) * unit - 16.0) * (1.0 / 219.0);
            let u = (f32::from(blue[x]) * unit - 128.0) * (1.0 / 224.0);
            let v = (f32::from(red[x]) * unit - 128.0) * (1.0 / 224.0);
            let r = linear(y + 1.28033 * v);
            let g = linear(y - 0.21482 * u - 0.38059 * v);
            let bl = linear(y + 2.12798 * u);
            let xx = r * 0.412_456_44 + g * 0.357_576_1 + bl * 0.180_437_48;
            let yy = r * 0.212_672_85 + g * 0.715_152_14 + bl * 0.072_174_996;
            let zz = r * 0.019_333_895 + g * 0.119_192_03 + bl * 0.950_304_1;
            let (xx, yy, zz) = (root(xx * (1.0 / 0.95047)), root(yy), root(zz * (1.0 / 1.08883)));
            lightness[x] = 116.0 * yy - 16.0;
            a[x] = 500.0 * (xx - yy);
            b[x] = 200.0 * (yy - zz);
        }
    }
}

/// `atan2` from nought to a whole turn; nought where both are.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn angle(y: f32, x: f32) -> f32 {
    use std::f32::consts::{FRAC_PI_2, PI, TAU};
    let (across, up) = (x.abs(), y.abs());
    let (least, most) = (across.min(up), across.max(up));
    let ratio = if most > 0.0 { least / most } else { 0.0 };
    // Abramowitz and Stegun 4.4.49.
    let series = [
        1.0,
        -0.333_331_45,
        0.199_935_5,
        -0.142_089,
        0.106_562_64,
        -0.075_289_64,
        0.042_909_614,
        -0.016_165_737,
        0.002_866_225_7,
    ];
    let octant = ratio * polynomial(ratio * ratio, series);
    let quadrant = if up > across { FRAC_PI_2 - octant } else { octant };
    let half = if x < 0.0 { PI - quadrant } else { quadrant };
    if y < 0.0 { TAU - half } else { half }
}

/// The sine of -π/2 to π/2.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn sine(x: f32) -> f32 {
    let square = x * x;
    let series = [1.0, -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0, -1.0 / 39_916_800.0];
    x * polynomial(square, series)
}

/// The cosine of -π/2 to π/2.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn cosine(x: f32) -> f32 {
    let series =
        [1.0, -0.5, 1.0 / 24.0, -1.0 / 720.0, 1.0 / 40_320.0, -1.0 / 3_628_800.0, 1.0 / 479_001_600.0];
    polynomial(x * x, series)
}

/// `√(c⁷ / (c⁷ + 25⁷))`.
#[allow(clippy::inline_always, reason = "part of kernels")]
#[inline(always)]
fn seventh(chroma: f32) -> f32 {
    let share = chroma * (1.0 / 25.0);
    let square = share * share;
    let power = square * square * square * share;
    (power / (power + 1.0)).sqrt()
}

kernel! {
    /// ΔE00 of the colours of two rows.
    fn compare [] [] (first: [&[f32]; 3], second: [&[f32]; 3], out: &mut [f32]) {
        use std::f32::consts::{PI, TAU};
        const LIGHTNESS_WEIGHT: f32 = 0.65;
        const HUE_WEIGHT: f32 = 4.0;
        let width = out.len();
        let [first_l, first_a, first_b] = first.map(|row| &row[..width]);
        let [second_l, second_a, second_b] = second.map(|row| &row[..width]);
        for x in 0..width {
            let (l1, a1, b1) = (first_l[x], first_a[x], first_b[x]);
            let (l2, a2, b2) = (second_l[x], second_a[x], second_b[x]);
            let (chroma1, chroma2) = ((a1 * a1 + b1 * b1).sqrt(), (a2 * a2 + b2 * b2).sqrt());
            let stretch = 1.0 + 0.5 * (1.0 - seventh((chroma1 + chroma2) * 0.5));
            let (a1, a2) = (a1 * stretch, a2 * stretch);
            let (chroma1, chroma2) = ((a1 * a1 + b1 * b1).sqrt(), (a2 * a2 + b2 * b2).sqrt());
            let chroma = (chroma1 + chroma2) * 0.5;
            let (hue1, hue2) = (angle(b1, a1), angle(b2, a2));
            let apart = hue2 - hue1;
            let is_far = apart.abs() > PI;
            let turned = if hue2 <= hue1 { apart + TAU } else { apart - TAU };
            let turn = if is_far { turned } else { apart };
            let turn = if (chroma1 == 0.0) | (chroma2 == 0.0) { 0.0 } else { turn };
            let middle = (hue1 + hue2) * 0.5;
            let hue = if is_far { middle + PI } else { middle };
            // Sine and cosine of the mean hue less half a turn, from those of half of it.
            let whole = if hue > TAU { hue - TAU } else { hue };
            let half = (whole - PI) * 0.5;
            let (s, c) = (sine(half), cosine(half));
            let (s1, c1) = (-2.0 * s * c, 2.0 * s * s - 1.0);
            let (s2, c2) = (2.0 * s1 * c1, 2.0 * c1 * c1 - 1.0);
            let (s3, c3) = (s2 * c1 + c2 * s1, c2 * c1 - s2 * s1);
            let (s4, c4) = (2.0 * s2 * c2, 2.0 * c2 * c2 - 1.0);
            // Cosines and sines of 30, 6 and 63 degrees.
            let waves = 1.0 - 0.17 * (c1 * 0.866_025_4 + s1 * 0.5) + 0.24 * c2
                + 0.32 * (c3 * 0.994_521_9 - s3 * 0.104_528_46)
                - 0.20 * (c4 * 0.453_990_5 + s4 * 0.891_006_5);
            let away = ((l1 + l2) * 0.5 - 50.0) * ((l1 + l2) * 0.5 - 50.0);
            let lightness_scale = 1.0 + 0.015 * away / (20.0 + away).sqrt();
            let chroma_scale = 1.0 + 0.045 * chroma;
            let hue_scale = 1.0 + 0.015 * chroma * waves;
            let degrees = (hue * (180.0 / PI) - 275.0) * (1.0 / 25.0);
            let bell = exp2((-degrees * degrees * std::f32::consts::LOG2_E).max(-120.0));
            let rotation = -2.0 * seventh(chroma) * sine(bell * (PI / 3.0));
            let lightness = (l2 - l1) / (LIGHTNESS_WEIGHT * lightness_scale);
            let colour = (chroma2 - chroma1) / chroma_scale;
            let tint = 2.0 * (chroma1 * chroma2).sqrt() * sine(turn * 0.5) / (HUE_WEIGHT * hue_scale);
            let square = lightness * lightness + colour * colour + tint * tint + rotation * colour * tint;
            out[x] = square.max(0.0).sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sharma, Wu and Dalal's test data have weights of one; the parts are checked against the standard library instead.
    #[test]
    fn polynomials_are_near() {
        for k in 1..4000 {
            let x = k as f32 * 0.0005;
            let near = |got: f32, wanted: f64, most: f64| {
                assert!(
                    (f64::from(got) - wanted).abs() <= most * wanted.abs().max(1e-3),
                    "{x}: {got} {wanted}"
                );
            };
            let wide = f64::from(x);
            near(two_fifths_power(x), wide.powf(0.4), 4e-7);
            near(root(x + 0.01), (f64::from(x + 0.01)).cbrt(), 3e-7);
            near(exp2(-x * 20.0), (-wide * 20.0).exp2(), 4e-6);
            let turn = x * 3.1;
            let reached = angle(turn.sin(), turn.cos());
            assert!((reached - turn).abs() < 2e-6, "{turn} {reached}");
            let half = (x - 1.0) * std::f32::consts::FRAC_PI_2;
            assert!((sine(half) - half.sin()).abs() < 4e-7 && (cosine(half) - half.cos()).abs() < 4e-7);
        }
        assert_eq!((angle(0.0, 0.0), angle(0.0, 1.0)), (0.0, 0.0));
    }
}
