//! AVX2: two registers of four numbers.

#![allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
#![allow(unsafe_code, reason = "instructions that not every processor has")]
#![allow(clippy::wildcard_imports, reason = "instructions, and nothing else")]

use std::arch::x86_64::*;
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Not, Sub};

use super::{LANES, Vector};

/// Two registers of four numbers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256d, __m256d);

/// All bits of a lane, or none.
#[derive(Clone, Copy)]
pub(crate) struct Avx2Mask(__m256d, __m256d);

/// The bit of each of four lanes.
const BITS: [i64; 4] = [1, 2, 4, 8];

/// Four rows of four numbers: row and column change places.
#[inline(always)]
fn transpose_four([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
    instruction!({
        let (ab_low, ab_high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(ab_low, cd_low),
            _mm256_permute2f128_pd::<0x20>(ab_high, cd_high),
            _mm256_permute2f128_pd::<0x31>(ab_low, cd_low),
            _mm256_permute2f128_pd::<0x31>(ab_high, cd_high),
        ]
    })
}

impl Vector for Avx2 {
    type Mask = Avx2Mask;

    #[inline(always)]
    fn load(from: &[f64; LANES]) -> Self {
        let from = from.as_ptr();
        instruction!(Self(_mm256_loadu_pd(from), _mm256_loadu_pd(from.add(4))))
    }

    #[inline(always)]
    fn store(self, to: &mut [f64; LANES]) {
        let to = to.as_mut_ptr();
        instruction!({
            _mm256_storeu_pd(to, self.0);
            _mm256_storeu_pd(to.add(4), self.1);
        });
    }

    #[inline(always)]
    fn splat(value: f64) -> Self {
        instruction!(Self(_mm256_set1_pd(value), _mm256_set1_pd(value)))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        instruction!(Self(_mm256_sqrt_pd(self.0), _mm256_sqrt_pd(self.1)))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        instruction!({
            let sign = _mm256_set1_pd(-0.0);
            Self(_mm256_andnot_pd(sign, self.0), _mm256_andnot_pd(sign, self.1))
        })
    }

    #[inline(always)]
    fn is_less(self, than: Self) -> Avx2Mask {
        instruction!(Avx2Mask(
            _mm256_cmp_pd::<_CMP_LT_OQ>(self.0, than.0),
            _mm256_cmp_pd::<_CMP_LT_OQ>(self.1, than.1)
        ))
    }

    #[inline(always)]
    fn is_equal(self, to: Self) -> Avx2Mask {
        instruction!(Avx2Mask(
            _mm256_cmp_pd::<_CMP_EQ_OQ>(self.0, to.0),
            _mm256_cmp_pd::<_CMP_EQ_OQ>(self.1, to.1)
        ))
    }

    #[inline(always)]
    fn choose(mask: Avx2Mask, yes: Self, no: Self) -> Self {
        instruction!(Self(_mm256_blendv_pd(no.0, yes.0, mask.0), _mm256_blendv_pd(no.1, yes.1, mask.1)))
    }

    #[inline(always)]
    fn or_less(self, other: Self) -> Self {
        instruction!(Self(_mm256_min_pd(self.0, other.0), _mm256_min_pd(self.1, other.1)))
    }

    #[inline(always)]
    fn or_greater(self, other: Self) -> Self {
        instruction!(Self(_mm256_max_pd(self.0, other.0), _mm256_max_pd(self.1, other.1)))
    }

    #[inline(always)]
    fn bits(mask: Avx2Mask) -> u32 {
        instruction!((_mm256_movemask_pd(mask.0) | _mm256_movemask_pd(mask.1) << 4) as u32)
    }

    #[inline(always)]
    fn mask(bits: u32) -> Avx2Mask {
        instruction!({
            let lanes = _mm256_loadu_si256(BITS.as_ptr().cast());
            let of = |bits: u32| {
                let set = _mm256_and_si256(_mm256_set1_epi64x(i64::from(bits)), lanes);
                _mm256_castsi256_pd(_mm256_cmpeq_epi64(set, lanes))
            };
            Avx2Mask(of(bits), of(bits >> 4))
        })
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let [a, b, c, d, e, f, g, h] = rows;
        let upper_left = transpose_four([a.0, b.0, c.0, d.0]);
        let upper_right = transpose_four([a.1, b.1, c.1, d.1]);
        let lower_left = transpose_four([e.0, f.0, g.0, h.0]);
        let lower_right = transpose_four([e.1, f.1, g.1, h.1]);
        let mut columns = rows;
        for column in 0..4 {
            columns[column] = Self(upper_left[column], lower_left[column]);
            columns[column + 4] = Self(upper_right[column], lower_right[column]);
        }
        columns
    }

    #[inline(always)]
    fn first(self) -> f64 {
        instruction!(_mm256_cvtsd_f64(self.0))
    }

    #[inline(always)]
    fn exchange<const HALF: usize>(self) -> Self {
        instruction!(match HALF {
            4 => Self(self.1, self.0),
            2 => Self(
                _mm256_permute2f128_pd::<0x01>(self.0, self.0),
                _mm256_permute2f128_pd::<0x01>(self.1, self.1)
            ),
            _ => Self(_mm256_permute_pd::<0b0101>(self.0), _mm256_permute_pd::<0b0101>(self.1)),
        })
    }
}

operators! { Avx2,
    Add add |a: Self, b: Self| instruction!(Self(_mm256_add_pd(a.0, b.0), _mm256_add_pd(a.1, b.1)));
    Sub sub |a: Self, b: Self| instruction!(Self(_mm256_sub_pd(a.0, b.0), _mm256_sub_pd(a.1, b.1)));
    Mul mul |a: Self, b: Self| instruction!(Self(_mm256_mul_pd(a.0, b.0), _mm256_mul_pd(a.1, b.1)));
    Div div |a: Self, b: Self| instruction!(Self(_mm256_div_pd(a.0, b.0), _mm256_div_pd(a.1, b.1)));
}

operators! { Avx2Mask,
    BitAnd bitand |a: Self, b: Self| instruction!(Self(_mm256_and_pd(a.0, b.0), _mm256_and_pd(a.1, b.1)));
    BitOr bitor |a: Self, b: Self| instruction!(Self(_mm256_or_pd(a.0, b.0), _mm256_or_pd(a.1, b.1)));
}

impl Not for Avx2Mask {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        instruction!({
            let all = _mm256_castsi256_pd(_mm256_set1_epi64x(-1));
            Self(_mm256_xor_pd(self.0, all), _mm256_xor_pd(self.1, all))
        })
    }
}
