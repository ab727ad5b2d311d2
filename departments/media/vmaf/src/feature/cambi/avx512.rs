//! The contrasts of sixteen pixels at once.
//!
//! Counts of a value lie side by side by column. Masked pixels are flat, so most often all sixteen have one value and their
//! counts are one load; else they are gathered.

#![allow(clippy::wildcard_imports, reason = "instructions by their names")]
#![allow(clippy::cast_ptr_alignment, reason = "loads and stores that need no alignment")]
#![allow(unsafe_code, reason = "histograms are read by address; lengths are checked on entry")]

use std::arch::x86_64::*;

use super::CambiOptions;

/// The contrasts of a row, nothing where it is not masked. `histograms` begin with a row for each step, then have the
/// rows of values.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
pub(super) fn row_contrast(
    histograms: &[u16],
    row: &[u16],
    mask: &[u16],
    options: &CambiOptions,
    weights: &[u32],
    contrasts: &mut [f32],
) {
    let CambiOptions { visible, dark, reciprocals, .. } = options;
    let dark = *dark;
    let most_pixels = _mm512_set1_epi32(reciprocals.len() as i32 - 1);
    let width = row.len();
    let steps = visible.len() as i32;
    let last = visible.iter().copied().max().unwrap_or(0).max(0);
    let rows = (last + 2 * steps + 1) as usize;
    assert!(histograms.len() >= rows * width + super::GATHER_BEHIND, "invariant: a row for every value");
    assert!(mask.len() >= width && contrasts.len() >= width, "invariant: rows of one picture");
    let base: *const u16 = histograms.as_ptr();
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let stride = _mm512_set1_epi32(width as i32);
    let mut x = 0;
    while x < width {
        let valid = ((1_u32 << (width - x).min(16)) - 1) as __mmask16;
        // SAFETY: masked lanes are within the rows.
        let (value, flags) = unsafe {
            let load = |from: &[u16]| _mm256_maskz_loadu_epi16(valid, from.as_ptr().add(x).cast());
            (_mm512_cvtepu16_epi32(load(row)), load(mask))
        };
        let seen = _mm512_mask_cmple_epi32_mask(
            _mm256_test_epi16_mask(flags, flags),
            value,
            _mm512_set1_epi32(last),
        );
        let mut most = _mm512_setzero_ps();
        if seen != 0 {
            let first = _mm512_mask_reduce_max_epi32(seen, value);
            let is_one = _mm512_mask_cmpeq_epi32_mask(seen, value, _mm512_set1_epi32(first)) == seen;
            let place = _mm512_add_epi32(
                _mm512_mullo_epi32(_mm512_add_epi32(value, _mm512_set1_epi32(steps)), stride),
                _mm512_add_epi32(lanes, _mm512_set1_epi32(x as i32)),
            );
            let counts = |wanted: __mmask16, step: i32| {
                // SAFETY: lanes of `wanted` have values from nought to the last visible, and the step is at most their
                // number, so that rows of both are there; a load of one row may reach the numbers behind the last.
                unsafe {
                    if is_one {
                        let at = (first + steps + step) as usize * width + x;
                        _mm512_cvtepu16_epi32(_mm256_loadu_si256(base.add(at).cast()))
                    } else {
                        let at = _mm512_add_epi32(place, _mm512_set1_epi32(step * width as i32));
                        let both =
                            _mm512_mask_i32gather_epi32::<2>(_mm512_setzero_si512(), wanted, at, base.cast());
                        _mm512_and_si512(both, _mm512_set1_epi32(0xffff))
                    }
                }
            };
            let own = counts(seen, 0);
            for (index, (&visible, &weight)) in visible.iter().zip(weights).enumerate() {
                let step = index as i32 + 1;
                let is_light =
                    _mm512_mask_cmpgt_epi32_mask(seen, value, _mm512_set1_epi32(dark - steps - step));
                let wanted = _mm512_mask_cmple_epi32_mask(is_light, value, _mm512_set1_epi32(visible));
                if wanted == 0 {
                    continue;
                }
                let other = _mm512_max_epu32(counts(wanted, step), counts(wanted, -step));
                let product =
                    _mm512_mullo_epi32(_mm512_mullo_epi32(_mm512_set1_epi32(weight as i32), own), other);
                // Counts of two values in a window are at most its pixels.
                let sum = _mm512_min_epu32(_mm512_add_epi32(own, other), most_pixels);
                // SAFETY: indices are within the table.
                let reciprocal = unsafe { _mm512_i32gather_ps::<4>(sum, reciprocals.as_ptr()) };
                let contrast = _mm512_mul_ps(_mm512_cvtepu32_ps(product), reciprocal);
                let is_more = _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(wanted, contrast, most);
                most = _mm512_mask_mov_ps(most, is_more, contrast);
            }
        }
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(contrasts.as_mut_ptr().add(x), valid, most) };
        x += 16;
    }
}
