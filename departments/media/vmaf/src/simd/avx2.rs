//! Eight lanes: AVX2.

#![allow(clippy::wildcard_imports, reason = "instructions by their names")]
#![allow(clippy::cast_ptr_alignment, reason = "loads and stores that need no alignment")]
#![allow(unsafe_code, reason = "instructions of a set that the holder of an `Avx2` has")]
#![allow(clippy::inline_always, reason = "inlined into functions that enable the instruction set")]

use std::arch::x86_64::*;

use super::vectors::{op, vectors};

vectors! {
    /// AVX2.
    Avx2: 8 lanes, __m256i;
    splat: _mm256_set1_epi32,
    load: _mm256_loadu_si256,
    store: _mm256_storeu_si256,
    mul_low16: _mm256_mullo_epi16,
    mul_high16: _mm256_mulhi_epu16,
    xor: _mm256_xor_si256,
    and: _mm256_and_si256,
    add: _mm256_add_epi32,
    sub: _mm256_sub_epi32,
    sub16: _mm256_sub_epi16,
    max: _mm256_max_epi32,
    abs: _mm256_abs_epi32,
    shift_right: _mm256_srl_epi32,
    shift_right_signed: _mm256_sra_epi32,
    shift_left: _mm256_sll_epi32,
    ;
    #[inline(always)]
    unsafe fn pairs8(self, a: *const u8, b: *const u8) -> __m256i {
        op!({
            let (a, b) = (_mm_loadl_epi64(a.cast()), _mm_loadl_epi64(b.cast()));
            _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b))
        })
    }
    #[inline(always)]
    unsafe fn pairs16(self, a: *const u16, b: *const u16) -> __m256i {
        op!({
            let (a, b) = (_mm_loadu_si128(a.cast()), _mm_loadu_si128(b.cast()));
            let (low, high) = (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b));
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
        })
    }
    #[inline(always)]
    unsafe fn store_low16(self, value: __m256i, to: *mut i16) {
        op!({
            let order = _mm256_setr_epi8(
                0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 4, 5, 8, 9, 12, 13, -1, -1,
                -1, -1, -1, -1, -1, -1,
            );
            let halves = _mm256_permute4x64_epi64::<0b1000>(_mm256_shuffle_epi8(value, order));
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(halves));
        });
    }
    #[inline(always)]
    fn dot(self, sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_add_epi32(sum, _mm256_madd_epi16(a, b)))
    }
    #[inline(always)]
    fn mul_high32(self, a: __m256i, b: __m256i) -> __m256i {
        op!({
            let half = _mm256_set1_epi64x(1 << 31);
            let even = _mm256_add_epi64(_mm256_mul_epu32(a, b), half);
            let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
            let odd = _mm256_add_epi64(odd, half);
            _mm256_blend_epi32::<0xaa>(_mm256_srli_epi64::<32>(even), odd)
        })
    }
    #[inline(always)]
    fn interleave(self, even: __m256i, odd: __m256i) -> (__m256i, __m256i) {
        op!({
            let (low, high) = (_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd));
            (_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
        })
    }
    #[inline(always)]
    fn total(self, a: __m256i) -> u64 {
        op!({
            let low = _mm256_cvtepu32_epi64(_mm256_castsi256_si128(a));
            let high = _mm256_cvtepu32_epi64(_mm256_extracti128_si256::<1>(a));
            let sum = _mm256_add_epi64(low, high);
            let sum = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            (_mm_extract_epi64::<0>(sum) as u64).wrapping_add(_mm_extract_epi64::<1>(sum) as u64)
        })
    }
}
