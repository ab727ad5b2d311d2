//! How the reference explains the distorted picture's finest detail, sixteen coefficients at once.
//!
//! The quotient `floor(2^30 / |o|) · t / 2^15` only has a place between nothing and one where both have the same sign and
//! `|t|` is at most `|o|`; there the product is at most 2^30 and fits 32 bits. The quotient itself is taken in single
//! precision, and what that leaves is divided once more. Directions are compared in single precision too, and in double
//! where that is too near to tell.

#![allow(clippy::wildcard_imports, reason = "instructions by their names")]
#![allow(clippy::cast_ptr_alignment, reason = "loads and stores that need no alignment")]
#![allow(unsafe_code, reason = "vectors are loaded by address; lengths are checked on entry")]

use std::arch::x86_64::*;

use super::rows::{Fine, ThreeMut};

/// The least width.
pub(super) const MIN_WIDTH: usize = 16;

/// Both results of [`super::rows::explain_first`].
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")]
pub(super) fn explain_first(
    o: Fine<'_>,
    t: Fine<'_>,
    cos_squared: f64,
    explained: ThreeMut<'_>,
    agrees: &mut [i32],
) {
    let width = agrees.len();
    let is_whole = o.iter().chain(&t).all(|row| row.len() >= width);
    assert!(width >= MIN_WIDTH && is_whole, "invariant: rows of one picture");
    assert!(explained.iter().all(|row| row.len() >= width), "invariant: rows of one picture");
    let mut x = 0;
    loop {
        // SAFETY: rows hold the width, and `x + 16` is at most that.
        let ([oh, ov, od], [th, tv, td]) = unsafe {
            let load = |row: &[i16]| _mm512_cvtepi16_epi32(_mm256_loadu_si256(row.as_ptr().add(x).cast()));
            (o.map(load), t.map(load))
        };
        let is_same = directions_agree(oh, ov, th, tv, cos_squared);
        let values = [explain(oh, th), explain(ov, tv), explain(od, td)];
        // SAFETY: as above.
        unsafe {
            _mm512_storeu_si512(agrees.as_mut_ptr().add(x).cast(), _mm512_movm_epi32(is_same));
            for band in 0..3 {
                _mm512_storeu_si512(explained[band].as_mut_ptr().add(x).cast(), values[band]);
            }
        }
        if x + 16 == width {
            break;
        }
        x = (x + 16).min(width - 16);
    }
}

/// What `o` explains of `t`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")]
fn explain(o: __m512i, t: __m512i) -> __m512i {
    let (size_o, size_t) = (_mm512_abs_epi32(o), _mm512_abs_epi32(t));
    let divisor = _mm512_max_epi32(size_o, _mm512_set1_epi32(1));
    let wide = _mm512_cvtepi32_ps(divisor);
    let dividend = _mm512_set1_epi32(1 << 30);
    let first = _mm512_cvttps_epi32(_mm512_div_ps(_mm512_set1_ps(1_073_741_824.0), wide));
    let left = _mm512_sub_epi32(dividend, _mm512_mullo_epi32(first, divisor));
    let more = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(_mm512_div_ps(
        _mm512_cvtepi32_ps(left),
        wide,
    ));
    let inverse = _mm512_add_epi32(first, _mm512_cvtps_epi32(more));
    let half = _mm512_set1_epi32(16_384);
    let share = _mm512_srai_epi32::<15>(_mm512_add_epi32(_mm512_mullo_epi32(inverse, size_t), half));
    let whole = _mm512_set1_epi32(32_768);
    let share = _mm512_mask_mov_epi32(share, _mm512_cmpgt_epi32_mask(size_t, size_o), whole);
    let opposite = _mm512_movepi32_mask(_mm512_xor_si512(o, t));
    let share = _mm512_mask_mov_epi32(share, opposite, _mm512_setzero_si512());
    // Nothing explains nothing, whatever the share.
    _mm512_srai_epi32::<15>(_mm512_add_epi32(_mm512_mullo_epi32(share, o), half))
}

/// Whether `(oh, ov)` and `(th, tv)` point the same way within a degree.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")]
fn directions_agree(oh: __m512i, ov: __m512i, th: __m512i, tv: __m512i, cos_squared: f64) -> __mmask16 {
    let zero = _mm512_setzero_si512();
    let both = |h: __m512i, v: __m512i| _mm512_mask_blend_epi16(0xaaaa_aaaa, h, _mm512_slli_epi32::<16>(v));
    let (o, t) = (both(oh, ov), both(th, tv));
    let dot = _mm512_dpwssd_epi32(zero, o, t);
    // Only the sum of two products of -2^15 with itself passes 2^31 - 1, and it is positive.
    let is_past = _mm512_cmpeq_epi32_mask(dot, _mm512_set1_epi32(i32::MIN));
    let product = _mm512_cvtepi32_ps(dot);
    let product = _mm512_mask_sub_ps(product, is_past, _mm512_setzero_ps(), product);
    let first = _mm512_cvtepu32_ps(_mm512_dpwssd_epi32(zero, o, o));
    let second = _mm512_cvtepu32_ps(_mm512_dpwssd_epi32(zero, t, t));
    let squared = _mm512_mul_ps(product, product);
    let wanted = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(cos_squared as f32), first), second);
    let difference = _mm512_sub_ps(squared, wanted);
    let is_positive = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(product, _mm512_setzero_ps());
    let doubt = _mm512_mul_ps(wanted, _mm512_set1_ps(1e-6));
    let is_near = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(is_positive, _mm512_abs_ps(difference), doubt);
    let mut agrees = _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(is_positive, difference, _mm512_setzero_ps());
    if is_near != 0 {
        let exact = |half: usize| {
            let part = |value: __m512| {
                let part = if half == 0 {
                    _mm512_castps512_ps256(value)
                } else {
                    _mm512_extractf32x8_ps::<1>(value)
                };
                _mm512_cvtps_pd(part)
            };
            let product = part(product);
            let wanted = _mm512_mul_pd(_mm512_mul_pd(_mm512_set1_pd(cos_squared), part(first)), part(second));
            u16::from(_mm512_cmp_pd_mask::<_CMP_GE_OQ>(_mm512_mul_pd(product, product), wanted))
        };
        let exact = exact(0) | (exact(1) << 8);
        agrees = (agrees & !is_near) | (exact & is_near);
    }
    agrees
}
