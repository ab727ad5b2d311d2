//! Sixteen lanes: AVX-512 with its dot product.

#![allow(clippy::wildcard_imports, reason = "instructions by their names")]
#![allow(clippy::cast_ptr_alignment, reason = "loads and stores that need no alignment")]
#![allow(unsafe_code, reason = "instructions of a set that the holder of an `Avx512` has")]
#![allow(clippy::inline_always, reason = "inlined into functions that enable the instruction set")]

use std::arch::x86_64::*;

use super::Simd;

/// AVX-512 F, BW, CD, DQ, VL and VNNI.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor has the instruction set, and the calling function enables it.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

/// An operation that the holder of an `Avx512` may use.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: `self` exists only where the processor has the instruction set.
        unsafe { $call }
    };
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    type V = __m512i;
    type F = __m512;

    #[inline(always)]
    fn splat(self, value: i32) -> __m512i {
        op!(_mm512_set1_epi32(value))
    }
    #[inline(always)]
    unsafe fn load16(self, from: *const i16) -> __m512i {
        op!(_mm512_loadu_si512(from.cast()))
    }
    #[inline(always)]
    unsafe fn load32(self, from: *const i32) -> __m512i {
        op!(_mm512_loadu_si512(from.cast()))
    }
    #[inline(always)]
    unsafe fn store32(self, value: __m512i, to: *mut i32) {
        op!(_mm512_storeu_si512(to.cast(), value));
    }
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
    fn mul_low16(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_mullo_epi16(a, b))
    }
    #[inline(always)]
    fn mul_high16(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_mulhi_epu16(a, b))
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
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_xor_si512(a, b))
    }
    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_sub_epi32(a, b))
    }
    #[inline(always)]
    fn sub16(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_sub_epi16(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_max_epi32(a, b))
    }
    #[inline(always)]
    fn abs(self, a: __m512i) -> __m512i {
        op!(_mm512_abs_epi32(a))
    }
    #[inline(always)]
    fn shift_right(self, a: __m512i, by: u32) -> __m512i {
        op!(_mm512_srl_epi32(a, _mm_cvtsi32_si128(by as i32)))
    }
    #[inline(always)]
    fn shift_right_signed(self, a: __m512i, by: u32) -> __m512i {
        op!(_mm512_sra_epi32(a, _mm_cvtsi32_si128(by as i32)))
    }
    #[inline(always)]
    fn shift_left(self, a: __m512i, by: u32) -> __m512i {
        op!(_mm512_sll_epi32(a, _mm_cvtsi32_si128(by as i32)))
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
    #[inline(always)]
    fn splat_f(self, value: f32) -> __m512 {
        op!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    unsafe fn load_f(self, from: *const f32) -> __m512 {
        op!(_mm512_loadu_ps(from))
    }
    #[inline(always)]
    unsafe fn store_f(self, value: __m512, to: *mut f32) {
        op!(_mm512_storeu_ps(to, value));
    }
    #[inline(always)]
    fn add_f(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub_f(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul_f(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div_f(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn sqrt_f(self, a: __m512) -> __m512 {
        op!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn max_f(self, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn choose_f(self, sign: __m512, a: __m512, b: __m512) -> __m512 {
        op!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(sign, _mm512_setzero_ps()), b, a))
    }
}
