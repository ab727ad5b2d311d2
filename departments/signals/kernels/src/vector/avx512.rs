//! AVX-512: one register of eight numbers, and masks of their own.

#![allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
#![allow(unsafe_code, reason = "instructions that not every processor has")]
#![allow(clippy::wildcard_imports, reason = "instructions, and nothing else")]

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use super::{LANES, Vector};

/// One register.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512d);

/// Four rows of four quarters of a register: row and column change places.
#[inline(always)]
fn transpose_quarters([a, b, c, d]: [__m512d; 4]) -> [__m512d; 4] {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    instruction!({
        let (ab_even, ab_odd) = (_mm512_shuffle_f64x2::<EVEN>(a, b), _mm512_shuffle_f64x2::<ODD>(a, b));
        let (cd_even, cd_odd) = (_mm512_shuffle_f64x2::<EVEN>(c, d), _mm512_shuffle_f64x2::<ODD>(c, d));
        [
            _mm512_shuffle_f64x2::<EVEN>(ab_even, cd_even),
            _mm512_shuffle_f64x2::<EVEN>(ab_odd, cd_odd),
            _mm512_shuffle_f64x2::<ODD>(ab_even, cd_even),
            _mm512_shuffle_f64x2::<ODD>(ab_odd, cd_odd),
        ]
    })
}

impl Vector for Avx512 {
    type Mask = __mmask8;

    #[inline(always)]
    fn load(from: &[f64; LANES]) -> Self {
        instruction!(Self(_mm512_loadu_pd(from.as_ptr())))
    }

    #[inline(always)]
    fn store(self, to: &mut [f64; LANES]) {
        instruction!(_mm512_storeu_pd(to.as_mut_ptr(), self.0));
    }

    #[inline(always)]
    fn splat(value: f64) -> Self {
        instruction!(Self(_mm512_set1_pd(value)))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        instruction!(Self(_mm512_sqrt_pd(self.0)))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        instruction!(Self(_mm512_abs_pd(self.0)))
    }

    #[inline(always)]
    fn is_less(self, than: Self) -> __mmask8 {
        instruction!(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, than.0))
    }

    #[inline(always)]
    fn is_equal(self, to: Self) -> __mmask8 {
        instruction!(_mm512_cmp_pd_mask::<_CMP_EQ_OQ>(self.0, to.0))
    }

    #[inline(always)]
    fn choose(mask: __mmask8, yes: Self, no: Self) -> Self {
        instruction!(Self(_mm512_mask_blend_pd(mask, no.0, yes.0)))
    }

    #[inline(always)]
    fn or_less(self, other: Self) -> Self {
        instruction!(Self(_mm512_min_pd(self.0, other.0)))
    }

    #[inline(always)]
    fn or_greater(self, other: Self) -> Self {
        instruction!(Self(_mm512_max_pd(self.0, other.0)))
    }

    #[inline(always)]
    fn bits(mask: __mmask8) -> u32 {
        u32::from(mask)
    }

    #[inline(always)]
    fn mask(bits: u32) -> __mmask8 {
        bits as __mmask8
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let [a, b, c, d, e, f, g, h] = rows;
        instruction!({
            // Pairs of rows, of the even columns and of the odd ones; then four numbers of each pair are one quarter of a register.
            let even = [
                _mm512_unpacklo_pd(a.0, b.0),
                _mm512_unpacklo_pd(c.0, d.0),
                _mm512_unpacklo_pd(e.0, f.0),
                _mm512_unpacklo_pd(g.0, h.0),
            ];
            let odd = [
                _mm512_unpackhi_pd(a.0, b.0),
                _mm512_unpackhi_pd(c.0, d.0),
                _mm512_unpackhi_pd(e.0, f.0),
                _mm512_unpackhi_pd(g.0, h.0),
            ];
            let ([zero, two, four, six], [one, three, five, seven]) =
                (transpose_quarters(even), transpose_quarters(odd));
            [Self(zero), Self(one), Self(two), Self(three), Self(four), Self(five), Self(six), Self(seven)]
        })
    }

    #[inline(always)]
    fn first(self) -> f64 {
        instruction!(_mm512_cvtsd_f64(self.0))
    }

    #[inline(always)]
    fn exchange<const HALF: usize>(self) -> Self {
        instruction!(Self(match HALF {
            4 => _mm512_shuffle_f64x2::<0b01_00_11_10>(self.0, self.0),
            2 => _mm512_permutex_pd::<0b01_00_11_10>(self.0),
            _ => _mm512_permute_pd::<0b0101_0101>(self.0),
        }))
    }
}

operators! { Avx512,
    Add add |a: Self, b: Self| instruction!(Self(_mm512_add_pd(a.0, b.0)));
    Sub sub |a: Self, b: Self| instruction!(Self(_mm512_sub_pd(a.0, b.0)));
    Mul mul |a: Self, b: Self| instruction!(Self(_mm512_mul_pd(a.0, b.0)));
    Div div |a: Self, b: Self| instruction!(Self(_mm512_div_pd(a.0, b.0)));
}
