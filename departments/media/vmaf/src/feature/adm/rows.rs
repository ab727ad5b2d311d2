//! The row kernels of ADM, at scale 0 (16-bit bands) and at the others (32-bit bands).
//!
//! *Explain*: what the reference explains of each detail coefficient of the distorted picture, at most the reference itself.
//! *Enhance*: more than that where the local direction agrees within a degree; what remains is additive.
//! *Mask*: the weighted rest raises the threshold around it. *Contrast*: what the threshold leaves of the weighted
//! coefficients is cubed and summed.
//!
//! Quotients and products are taken in `f64` where an exact result fits its 53 bits, because vectors of it exist on every
//! instruction set; the comments say why each fits.

use crate::isa::{Isa, kernel};

/// Three rows: horizontal, vertical and diagonal band.
pub(crate) type Three<'a> = [&'a [i32]; 3];
/// The same at scale 0.
pub(crate) type Fine<'a> = [&'a [i16]; 3];
/// Three rows to be written.
pub(crate) type ThreeMut<'a> = [&'a mut [i32]; 3];

/// Whether the directions `(oh, ov)` and `(th, tv)` differ by at most a degree, from their scalar product and squares.
macro_rules! same_direction {
    ($product:expr, $first:expr, $second:expr, $limit:expr) => {{
        let product = f64::from($product as f32) / 4096.0;
        let first = f64::from($first as f32) / 4096.0;
        let second = f64::from($second as f32) / 4096.0;
        (product >= 0.0) & (product * product >= $limit * first * second)
    }};
}

/// `cos²(1°)` in single precision.
pub(crate) fn cos_squared() -> f64 {
    let cosine = (1.0 * std::f64::consts::PI / 180.0).cos();
    f64::from((cosine * cosine) as f32)
}

/// What of the bands `t` of the distorted picture those of the reference, `o`, explain at scale 0, and -1 where the
/// directions agree.
pub(crate) fn explain_first(
    isa: Isa,
    o: Fine<'_>,
    t: Fine<'_>,
    cos_squared: f64,
    explained: ThreeMut<'_>,
    agrees: &mut [i32],
) {
    #[cfg(target_arch = "x86_64")]
    if isa.level() == crate::isa::Level::Avx512 && agrees.len() >= super::avx512::MIN_WIDTH {
        #[allow(unsafe_code, reason = "the processor was asked")]
        // SAFETY: an `Isa` of this level exists only where the processor was found to have these features.
        return unsafe { super::avx512::explain_first(o, t, cos_squared, explained, agrees) };
    }
    explain_first_plain(isa, o, t, cos_squared, explained, agrees);
}

kernel! {
    fn explain_first_plain [] [] (
        o: Fine<'_>, t: Fine<'_>, cos_squared: f64, explained: ThreeMut<'_>, agrees: &mut [i32],
    ) {
        let width = o[0].len();
        let (o, t) = (o.map(|row| &row[..width]), t.map(|row| &row[..width]));
        let explained = explained.map(|row| &mut row[..width]);
        let agrees = &mut agrees[..width];
        for x in 0..width {
            // Bands fit 16 bits, so sums of two products fit 32 and a half; `f64` holds them.
            let [oh, ov, th, tv] = [o[0][x], o[1][x], t[0][x], t[1][x]].map(f64::from);
            let is_same = same_direction!(oh * th + ov * tv, oh * oh + ov * ov, th * th + tv * tv, cos_squared);
            agrees[x] = -i32::from(is_same);
            for band in 0..3 {
                let (o, t) = (i32::from(o[band][x]), i32::from(t[band][x]));
                // 2^30 / |o| rounded down, times t: 45 bits.
                let inverse = (1_073_741_824.0 / f64::from(o.abs().max(1))).floor();
                let signed = f64::from(if o < 0 { -t } else { t });
                let quotient = ((inverse * signed + 16_384.0) * (1.0 / 32_768.0)).floor().clamp(0.0, 32_768.0);
                let k = if o == 0 { 32_768 } else { quotient as i32 };
                explained[band][x] = (k * o + 16_384) >> 15;
            }
        }
    }
}

kernel! {
    /// As [`explain_first`], at scales 1 to 3.
    pub(crate) fn explain_later [] [] (
        o: Three<'_>, t: Three<'_>, cos_squared: f64, explained: ThreeMut<'_>, agrees: &mut [i32],
    ) {
        let width = o[0].len();
        let (o, t) = (o.map(|row| &row[..width]), t.map(|row| &row[..width]));
        let explained = explained.map(|row| &mut row[..width]);
        let agrees = &mut agrees[..width];
        for x in 0..width {
            let [oh, ov, th, tv] = [o[0][x], o[1][x], t[0][x], t[1][x]].map(i64::from);
            let is_same = same_direction!(oh * th + ov * tv, oh * oh + ov * ov, th * th + tv * tv, cos_squared);
            agrees[x] = -i32::from(is_same);
            for band in 0..3 {
                let (o, t) = (o[band][x], t[band][x]);
                // The divisor has at most 15 bits and a half; what is cut off it is cut off the quotient.
                let size = o.unsigned_abs();
                let shift = 17_u32.saturating_sub(size.leading_zeros());
                let divisor = (size + ((1 << shift) >> 1)) >> shift;
                let inverse = (1_073_741_824.0 / f64::from(divisor.max(1))).floor();
                let signed = if o < 0 { -f64::from(t) } else { f64::from(t) };
                // Below the clamp at 2^15 the product has less than 2^(30 + shift), 47 bits; above, only its size counts.
                let scale = f64::from_bits(u64::from(1023 - 15 - shift) << 52);
                let quotient = (inverse * signed * scale + 0.5).floor().clamp(0.0, 32_768.0);
                let k = if o == 0 { 32_768.0 } else { quotient };
                explained[band][x] = ((k * f64::from(o) + 16_384.0) * (1.0 / 32_768.0)).floor() as i32;
            }
        }
    }
}

/// What a row restores of a band, enhanced up to `limit` times where directions agree but never beyond `t`; and what is
/// added, which is kept in 16 bits. What is explained has the reference's sign, or is nothing.
pub(crate) fn enhance_first(
    isa: Isa,
    explained: &[i32],
    agrees: &[i32],
    t: &[i16],
    limit: f64,
    restored: &mut [i32],
    additive: &mut [i32],
) {
    // What is explained fits 16 bits, so that up to 2^14 times as much fits 32.
    const MOST: f64 = 16_384.0;
    if limit.fract() == 0.0 && (0.0..=MOST).contains(&limit) {
        enhance_whole(isa, explained, agrees, t, limit as i32, restored, additive);
    } else {
        enhance_later(isa, explained, agrees, t, limit, restored, additive);
        for value in additive {
            *value = i32::from(*value as i16);
        }
    }
}

kernel! {
    fn enhance_whole [] [] (
        explained: &[i32], agrees: &[i32], t: &[i16], limit: i32, restored: &mut [i32], additive: &mut [i32],
    ) {
        let width = explained.len();
        let (agrees, t) = (&agrees[..width], &t[..width]);
        let (restored, additive) = (&mut restored[..width], &mut additive[..width]);
        for x in 0..width {
            let (rest, t) = (explained[x], i32::from(t[x]));
            let enhanced = rest * limit;
            let limited = if rest > 0 { enhanced.min(t) } else { enhanced.max(t) };
            let rest = if (agrees[x] != 0) & (rest != 0) { limited } else { rest };
            restored[x] = rest;
            additive[x] = i32::from((t - rest) as i16);
        }
    }
}

kernel! {
    /// As [`enhance_first`], at scales 1 to 3.
    pub(crate) fn enhance_later [T: Copy + Into<i32>] [T] (
        explained: &[i32], agrees: &[i32], t: &[T], limit: f64, restored: &mut [i32], additive: &mut [i32],
    ) {
        let width = explained.len();
        let (agrees, t) = (&agrees[..width], &t[..width]);
        let (restored, additive) = (&mut restored[..width], &mut additive[..width]);
        for x in 0..width {
            let (rest, t): (i32, i32) = (explained[x], t[x].into());
            let (enhanced, wide) = (f64::from(rest) * limit, f64::from(t));
            let least = if enhanced < wide { enhanced } else { wide };
            let most = if enhanced > wide { enhanced } else { wide };
            let limited = if rest > 0 { least } else { most } as i32;
            let rest = if (agrees[x] != 0) & (rest != 0) { limited } else { rest };
            restored[x] = rest;
            additive[x] = t.wrapping_sub(rest);
        }
    }
}

kernel! {
    /// What a row raises the threshold by, at scale 0: `around` its neighbours and at the `centre`, summed over the bands.
    pub(crate) fn mask_first [] [] (other: Three<'_>, weights: [i32; 3], around: &mut [i32], centre: &mut [i32]) {
        // The third rounding is not half of its divisor; libvmaf's is not either.
        const ROUND: [i32; 3] = [16_384, 16_384, 65_535];
        const SHIFT: [u32; 3] = [15, 15, 17];
        let width = around.len();
        let other = other.map(|row| &row[..width]);
        let centre = &mut centre[..width];
        for x in 0..width {
            let (mut sum, mut middle) = (0, 0);
            for band in 0..3 {
                let weighted = (weights[band].wrapping_mul(other[band][x]).wrapping_add(ROUND[band])) >> SHIFT[band];
                let size = i32::from(weighted as i16).abs();
                // 16 bits, which overflow where a band is at the end of its range; libvmaf's do.
                sum += i32::from(((4369 * size + 2048) >> 12) as i16);
                middle += i32::from(((8738 * size + 2048) >> 12) as i16);
            }
            around[x] = sum;
            centre[x] = middle;
        }
    }
}

kernel! {
    /// As [`mask_first`], at scales 1 to 3.
    pub(crate) fn mask_later [] [] (other: Three<'_>, weights: [i64; 3], around: &mut [i32], centre: &mut [i32]) {
        let width = around.len();
        let other = other.map(|row| &row[..width]);
        let centre = &mut centre[..width];
        for x in 0..width {
            let (mut sum, mut middle) = (0_i32, 0_i32);
            for band in 0..3 {
                let weighted = ((weights[band] * i64::from(other[band][x]) + (1 << 27)) >> 28) as i32;
                let size = i64::from(weighted.wrapping_abs());
                // The half is taken off, not added: libvmaf's constant overflows, and its scores are defined by it.
                sum = sum.wrapping_add(((143_165_577 * size - (1 << 31)) >> 32) as i32);
                middle = middle.wrapping_add(((286_331_153 * size - (1 << 31)) >> 32) as i32);
            }
            around[x] = sum;
            centre[x] = middle;
        }
    }
}

/// Three rows of [`mask_first`]'s `around` (above, here, below) and the `centre` of this row.
#[derive(Clone, Copy)]
pub(crate) struct Masks<'a> {
    pub(crate) around: [&'a [i32]; 3],
    pub(crate) centre: &'a [i32],
}

kernel! {
    /// The thresholds of columns `from..to` of a row. The column left of the first is the second, the column right of the
    /// last is the last.
    pub(crate) fn thresholds [] [] (masks: Masks<'_>, from: usize, to: usize, out: &mut [i32]) {
        let width = masks.centre.len();
        let out = &mut out[..width];
        let [above, here, below] = masks.around.map(|row| &row[..width]);
        let column = |x: usize| above[x].wrapping_add(here[x]).wrapping_add(below[x]);
        let inner = from.max(1)..to.min(width - 1);
        for x in inner {
            out[x] = column(x - 1).wrapping_add(column(x)).wrapping_add(column(x + 1))
                .wrapping_sub(here[x]).wrapping_add(masks.centre[x]);
        }
        for x in [0, width - 1] {
            let (left, right) = (if x == 0 { 1.min(width - 1) } else { x - 1 }, (x + 1).min(width - 1));
            out[x] = column(left).wrapping_add(column(x)).wrapping_add(column(right))
                .wrapping_sub(here[x]).wrapping_add(masks.centre[x]);
        }
    }
}

/// `1 << (shift - 1)`, or nothing for no shift.
fn half(shift: u32) -> i64 {
    if shift == 0 { 0 } else { 1 << (shift - 1) }
}

kernel! {
    fn cubes_first [] [] (source: &[i32], threshold: &[i32], weight: i32, raise: u32, square: u32, cube: u32) -> i64 {
        let threshold = &threshold[..source.len()];
        let (round_square, round_cube) = (half(square), half(cube));
        let mut sum = 0_i64;
        for x in 0..source.len() {
            let left = weight.wrapping_mul(source[x]).wrapping_abs().wrapping_sub(threshold[x].wrapping_shl(raise)).max(0);
            let left = i64::from(left);
            let squared = (left * left + round_square) >> square;
            sum = sum.wrapping_add((squared.wrapping_mul(left) + round_cube) >> cube);
        }
        sum
    }
}

kernel! {
    fn cubes_later [] [] (source: &[i32], threshold: &[i32], weight: i64, cube: u32) -> i64 {
        let threshold = &threshold[..source.len()];
        let round_cube = half(cube);
        let mut sum = 0_i64;
        for x in 0..source.len() {
            let weighted = ((weight * i64::from(source[x]) + (1 << 27)) >> 28) as i32;
            let left = i64::from(weighted.wrapping_abs().wrapping_sub(threshold[x]).max(0));
            let squared = i64::from(((left * left + (1 << 29)) >> 30) as i32);
            sum = sum.wrapping_add((squared * left + round_cube) >> cube);
        }
        sum
    }
}

/// Sums of the cubes of what the thresholds leave of a row, by band, at scale 0; `cube` are the shifts of the cubes.
pub(crate) fn contrast_first(
    isa: Isa,
    source: Three<'_>,
    threshold: &[i32],
    weights: [i32; 3],
    cube: [u32; 3],
) -> [i64; 3] {
    std::array::from_fn(|band| {
        let (raise, square) = if band == 2 { (12, 30) } else { (10, 29) };
        cubes_first(isa, source[band], threshold, weights[band], raise, square, cube[band])
    })
}

/// As [`contrast_first`], at scales 1 to 3.
pub(crate) fn contrast_later(
    isa: Isa,
    source: Three<'_>,
    threshold: &[i32],
    weights: [i64; 3],
    cube: u32,
) -> [i64; 3] {
    std::array::from_fn(|band| cubes_later(isa, source[band], threshold, weights[band], cube))
}

kernel! {
    /// Sum of `|x|³` of a row of scale 0.
    pub(crate) fn energy_first [] [] (row: &[i16]) -> u64 {
        let mut sum = 0_u64;
        for &x in row {
            let size = u64::from(x.unsigned_abs());
            sum += size * size * size;
        }
        sum
    }
}

kernel! {
    /// Sum of `|x|³` of a row of scales 1 to 3, with the shifts of the square and of the cube.
    pub(crate) fn energy_later [] [] (row: &[i32], square: u32, cube: u32) -> u64 {
        // A whole unit is added before the shift of the square, not half: libvmaf's scores are defined so.
        let (round_square, round_cube) = (1_u64 << square, half(cube) as u64);
        let mut sum = 0_u64;
        for &x in row {
            let size = u64::from(x.unsigned_abs());
            let squared = (size * size + round_square) >> square;
            sum += (squared * size + round_cube) >> cube;
        }
        sum
    }
}
