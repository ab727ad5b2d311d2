//! Sixteen lanes: AVX-512 with its dot product.

#![allow(clippy::wildcard_imports, reason = "instructions by their names")]
#![allow(clippy::cast_ptr_alignment, reason = "loads and stores that need no alignment")]
#![allow(unsafe_code, reason = "instructions of a set that the holder of an `Avx512` has")]
#![allow(clippy::inline_always, reason = "inlined into functions that enable the instruction set")]

use std::arch::x86_64::*;

use super::vectors::{op, vectors};

vectors! {
    /// AVX-512 F, BW, CD, DQ, VL and VNNI.
    Avx512: 16 lanes, __m512i;
    splat: _mm512_set1_epi32,
    load: _mm512_loadu_si512,
    store: _mm512_storeu_si512,
    mul_low16: _mm512_mullo_epi16,
    mul_high16: _mm512_mulhi_epu16,
    xor: _mm512_xor_si512,
    and: _mm512_and_si512,
    add: _mm512_add_epi32,
    sub: _mm512_sub_epi32,
    sub16: _mm512_sub_epi16,
    max: _mm512_max_epi32,
    abs: _mm512_abs_epi32,
    shift_right: _mm512_srl_epi32,
    shift_right_signed: _mm512_sra_epi32,
    shift_left: _mm512_sll_epi32,
    ;
    #[inline(always)]
    unsafe fn pairs8(self, a: *const u8, b: *const u8) -> __m512i {
        op!({
            let (a, b) = (_mm_loadu_si128(a.cast()), _mm_loadu_si128(b.cast()));
            let (low, high) = (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b));
            _mm512_cvtepu8_epi16(_mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high))
        })
    }
    #[inline(always)]
    unsafe fn pairs16(self, a: *const u16, b: *const u16) -> __m512i {
        op!({
            let a = _mm512_cvtepu16_epi32(_mm256_loadu_si256(a.cast()));
            let b = _mm512_cvtepu16_epi32(_mm256_loadu_si256(b.cast()));
            _mm512_or_si512(a, _mm512_slli_epi32::<16>(b))
        })
    }
    #[inline(always)]
    unsafe fn store_low16(self, value: __m512i, to: *mut i16) {
        op!(_mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(value)));
    }
    #[inline(always)]
    fn dot(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_dpwssd_epi32(sum, a, b))
    }
    #[inline(always)]
    fn mul_high32(self, a: __m512i, b: __m512i) -> __m512i {
        op!({
            let half = _mm512_set1_epi64(1 << 31);
            let even = _mm512_add_epi64(_mm512_mul_epu32(a, b), half);
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
            let odd = _mm512_add_epi64(odd, half);
            _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<32>(even), odd)
        })
    }
    #[inline(always)]
    fn interleave(self, even: __m512i, odd: __m512i) -> (__m512i, __m512i) {
        op!({
            let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            (_mm512_permutex2var_epi32(even, first, odd), _mm512_permutex2var_epi32(even, second, odd))
        })
    }
    #[inline(always)]
    fn total(self, a: __m512i) -> u64 {
        op!({
            let low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(a));
            let high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64::<1>(a));
            _mm512_reduce_add_epi64(_mm512_add_epi64(low, high)) as u64
        })
    }
}
