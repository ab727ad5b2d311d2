//! Logarithms and the statistic of VIF on AVX-512, sixteen pixels at once.
//!
//! A gather from the table of 32768 logarithms is the slowest instruction of the whole feature. Here the table is 32
//! pieces, each a cubic in single precision whose whole part is the table's entry, for every entry; the pieces'
//! coefficients lie in pairs of registers and are picked by a permutation. A test checks all entries.

#![allow(clippy::wildcard_imports, reason = "instructions by their names")]
#![allow(clippy::cast_ptr_alignment, reason = "loads and stores that need no alignment")]
#![allow(unsafe_code, reason = "vectors are loaded by address; lengths are checked on entry")]
#![allow(clippy::inline_always, reason = "parts of a kernel")]
#![allow(clippy::needless_range_loop, reason = "one index into several arrays of registers")]

use std::arch::x86_64::*;
use std::sync::LazyLock;

use super::{EPSILON, NOISE, Sums};

/// Pieces of the range of a mantissa.
const PIECES: usize = 32;
/// Entries of a piece.
const ENTRIES: usize = 32_768 / PIECES;

/// `2048 log2` of the mantissas 32768 to 65535, rounded as libvmaf's table: `whole[piece]` and the whole part of the cubic
/// in the place within the piece.
#[repr(C, align(64))]
pub(super) struct Pieces {
    whole: [i32; PIECES],
    cubic: [[f32; PIECES]; 4],
}

pub(super) static PIECES_OF_LOG: LazyLock<Box<Pieces>> = LazyLock::new(|| Box::new(Pieces::new()));

impl Pieces {
    fn new() -> Self {
        let mut pieces = Self { whole: [0; PIECES], cubic: [[0.0; PIECES]; 4] };
        for piece in 0..PIECES {
            let start = (32_768 + piece * ENTRIES) as f64;
            let exact = |place: f64| super::exact_entry(start + place);
            let whole = exact(0.0).floor();
            // Through the four Chebyshev nodes of the piece, by divided differences.
            let middle = (ENTRIES - 1) as f64 / 2.0;
            let node = |k: usize| middle + middle * ((2 * k + 1) as f64 * std::f64::consts::PI / 8.0).cos();
            let nodes: [f64; 4] = std::array::from_fn(node);
            let mut differences: [f64; 4] = std::array::from_fn(|k| exact(nodes[k]) - whole);
            for order in 1..4 {
                for k in (order..4).rev() {
                    differences[k] = (differences[k] - differences[k - 1]) / (nodes[k] - nodes[k - order]);
                }
            }
            // From Newton's form to powers.
            let mut powers = [0.0; 4];
            for k in (0..4).rev() {
                let mut next = [0.0; 4];
                for (power, value) in powers.iter().enumerate() {
                    next[power] -= value * nodes[k];
                    if power < 3 {
                        next[power + 1] += value;
                    }
                }
                next[0] += differences[k];
                powers = next;
            }
            pieces.whole[piece] = whole as i32;
            for power in 0..4 {
                pieces.cubic[power][piece] = powers[power] as f32;
            }
        }
        pieces
    }

    /// The table's entry of a mantissa, as the vectors compute it.
    #[cfg(test)]
    fn entry(&self, mantissa: usize) -> i32 {
        let (piece, place) = ((mantissa - 32_768) / ENTRIES, ((mantissa - 32_768) % ENTRIES) as f32);
        let [a, b, c, d] = self.cubic.each_ref().map(|power| power[piece]);
        self.whole[piece] + place.mul_add(place.mul_add(place.mul_add(d, c), b), a) as i32
    }
}

/// The pieces in registers.
#[derive(Clone, Copy)]
struct Loaded {
    whole: [__m512i; 2],
    cubic: [[__m512; 2]; 4],
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn load(pieces: &Pieces) -> Loaded {
    // SAFETY: each array holds two vectors.
    unsafe {
        let whole = [0, 16].map(|at| _mm512_loadu_si512(pieces.whole.as_ptr().add(at).cast()));
        let cubic =
            pieces.cubic.each_ref().map(|power| [0, 16].map(|at| _mm512_loadu_ps(power.as_ptr().add(at))));
        Loaded { whole, cubic }
    }
}

/// `2048 log2(value)` of unsigned 32-bit lanes of at least 2^15, rounded as the table.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn log2(loaded: &Loaded, value: __m512i) -> __m512i {
    let zeros = _mm512_lzcnt_epi32(value);
    let normal = _mm512_sllv_epi32(value, zeros);
    // Permutations use the last five bits.
    let piece = _mm512_srli_epi32::<26>(normal);
    let place = _mm512_and_si512(_mm512_srli_epi32::<16>(normal), _mm512_set1_epi32(ENTRIES as i32 - 1));
    let place = _mm512_cvtepi32_ps(place);
    let [a, b, c, d] = loaded.cubic;
    let pick = |power: [__m512; 2]| _mm512_permutex2var_ps(power[0], piece, power[1]);
    let sum = _mm512_fmadd_ps(pick(d), place, pick(c));
    let sum = _mm512_fmadd_ps(sum, place, pick(b));
    let sum = _mm512_fmadd_ps(sum, place, pick(a));
    let whole = _mm512_permutex2var_epi32(loaded.whole[0], piece, loaded.whole[1]);
    let exponent = _mm512_slli_epi32::<11>(_mm512_sub_epi32(_mm512_set1_epi32(16), zeros));
    _mm512_add_epi32(_mm512_add_epi32(_mm512_cvttps_epi32(sum), whole), exponent)
}

/// Eight lanes of the linear channel: gain, and the whole part of the variance of its noise.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn channel(xx: __m256i, yy: __m256i, xy: __m256i) -> (__m512d, __m512d, __m256i) {
    let [xx, yy, xy] = [xx, yy, xy].map(|value| _mm512_cvtepi32_pd(value));
    let gain = _mm512_div_pd(xy, _mm512_add_pd(xx, _mm512_set1_pd(EPSILON)));
    let noise = _mm512_sub_pd(yy, _mm512_mul_pd(gain, xy));
    (xx, gain, _mm512_cvttpd_epu32(_mm512_max_pd(noise, _mm512_setzero_pd())))
}

/// Eight lanes of the whole part of what arrives of the variance.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn arriving(xx: __m512d, gain: __m512d, limit: __m512d) -> __m256i {
    let gain = _mm512_min_pd(gain, limit);
    _mm512_cvttpd_epu32(_mm512_mul_pd(_mm512_mul_pd(gain, gain), xx))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn joined(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

/// The sum of lanes that are at most 2^31 - 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn sum_wide(value: __m512i) -> i64 {
    let low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(value));
    let high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(value));
    _mm512_reduce_add_epi64(_mm512_add_epi64(low, high))
}

/// Sums over a row for `LIMITS` gain limits. Variances of 32 bits: what arrives and the noise are together at most one and
/// a half times the distorted picture's variance, by Cauchy and Schwarz and the roundings before, so they fit 32 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
pub(super) fn statistic<const LIMITS: usize>(
    pieces: &Pieces,
    xx: &[i32],
    yy: &[i32],
    xy: &[i32],
    limits: [f64; LIMITS],
) -> [Sums; LIMITS] {
    let width = xx.len();
    assert!(yy.len() >= width && xy.len() >= width, "invariant: rows of one picture");
    let loaded = load(pieces);
    let limit = limits.map(|limit| _mm512_set1_pd(limit));
    let noise_floor = _mm512_set1_epi32(NOISE);
    let zero = _mm512_setzero_si512();
    let mut num_log = [zero; LIMITS];
    let (mut den_log, mut flat, mut flat_variance) = (zero, 0_u64, 0_i64);
    let mut x = 0;
    while x < width {
        let lanes = (width - x).min(16);
        let valid = ((1_u32 << lanes) - 1) as __mmask16;
        // SAFETY: `lanes` numbers are within each row.
        let [xx, yy, xy] =
            unsafe { [xx, yy, xy].map(|row| _mm512_maskz_loadu_epi32(valid, row.as_ptr().add(x))) };
        let varied = _mm512_mask_cmpge_epi32_mask(valid, xx, noise_floor);
        let is_flat = valid & !varied;
        if is_flat != 0 {
            flat += u64::from(is_flat.count_ones());
            flat_variance += sum_wide(_mm512_maskz_mov_epi32(is_flat, yy));
        }
        let xx = _mm512_max_epi32(xx, noise_floor);
        den_log =
            _mm512_mask_add_epi32(den_log, varied, den_log, log2(&loaded, _mm512_add_epi32(noise_floor, xx)));
        let high = |value: __m512i| _mm512_extracti64x4_epi64::<1>(value);
        let low = |value: __m512i| _mm512_castsi512_si256(value);
        let (xx0, gain0, noise0) = channel(low(xx), low(yy), low(xy));
        let (xx1, gain1, noise1) = channel(high(xx), high(yy), high(xy));
        let noise = _mm512_add_epi32(joined(noise0, noise1), noise_floor);
        let log_noise = log2(&loaded, noise);
        let counts = _mm512_mask_cmpgt_epi32_mask(_mm512_mask_cmpgt_epi32_mask(varied, xy, zero), yy, zero);
        for k in 0..LIMITS {
            let sent = joined(arriving(xx0, gain0, limit[k]), arriving(xx1, gain1, limit[k]));
            let arrived = _mm512_sub_epi32(log2(&loaded, _mm512_add_epi32(sent, noise)), log_noise);
            num_log[k] = _mm512_mask_add_epi32(num_log[k], counts, num_log[k], arrived);
        }
        x += 16;
    }
    // A logarithm is below 2^16 and a lane holds at most a thousand of a row, so 32 bits held the sums.
    let den_log = sum_wide(den_log) - 2048 * 17 * (width as i64 - flat as i64);
    num_log.map(|num_log| Sums { num_log: sum_wide(num_log), den_log, flat: flat as i64, flat_variance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_table_is_met() {
        let pieces = Pieces::new();
        for mantissa in 32_768..65_536 {
            assert_eq!(pieces.entry(mantissa), super::super::LOG2[mantissa - 32_768], "{mantissa}");
        }
    }
}
