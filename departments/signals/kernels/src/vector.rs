//! Eight numbers side by side: the one place where instruction sets are spelt out.
//!
//! An algorithm is written once for any [`Vector`], and [`vector_kernel!`] compiles it for each instruction set that [`Isa`](crate::Isa) knows. Every operation here is one that
//! IEEE 754 rounds exactly, or moves or chooses numbers, and nothing is fused; so the bits do not depend on the instruction set.

#![allow(clippy::inline_always, reason = "inlined into each instruction set's version")]

use std::ops::{Add, BitAnd, BitOr, Div, Mul, Not, Sub};

/// Numbers of a vector.
pub(crate) const LANES: usize = 8;

/// A vector in memory: one line of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Eight(pub(crate) [f64; LANES]);

/// Eight numbers in registers.
pub(crate) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Whether something holds, of each lane.
    type Mask: Copy + BitAnd<Output = Self::Mask> + BitOr<Output = Self::Mask> + Not<Output = Self::Mask>;

    fn load(from: &[f64; LANES]) -> Self;
    fn store(self, to: &mut [f64; LANES]);
    fn splat(value: f64) -> Self;
    /// The correctly rounded root; NaN of what is below 0.
    fn sqrt(self) -> Self;
    /// The size, without its sign.
    fn abs(self) -> Self;
    /// Nothing is less than NaN, nor NaN than anything.
    fn is_less(self, than: Self) -> Self::Mask;
    fn is_equal(self, to: Self) -> Self::Mask;
    fn choose(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// `self` where that is less, else `other`: also where either is NaN.
    fn or_less(self, other: Self) -> Self;
    /// `self` where that is greater, else `other`: also where either is NaN.
    fn or_greater(self, other: Self) -> Self;
    /// The lanes as bits, the first the lowest.
    fn bits(mask: Self::Mask) -> u32;
    /// The mask of the lanes whose bits are set.
    fn mask(bits: u32) -> Self::Mask;
    /// Row and column change places.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];
    /// This, with the halves of so many lanes of each stretch of twice as many exchanged: 4, 2 or 1.
    fn exchange<const HALF: usize>(self) -> Self;

    /// The least of its numbers, in each lane. None is NaN.
    #[inline(always)]
    fn least(self) -> Self {
        let fours = self.exchange::<4>().or_less(self);
        let twos = fours.exchange::<2>().or_less(fours);
        twos.exchange::<1>().or_less(twos)
    }

    /// The greatest of its numbers, in each lane. None is NaN.
    #[inline(always)]
    fn greatest(self) -> Self {
        let fours = self.exchange::<4>().or_greater(self);
        let twos = fours.exchange::<2>().or_greater(fours);
        twos.exchange::<1>().or_greater(twos)
    }

    /// Its numbers.
    #[inline(always)]
    fn lanes(self) -> [f64; LANES] {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes);
        lanes
    }
}

/// Defines a kernel that is generic over a [`Vector`], whose name stands in angle brackets: as `kernel!` does for plain loops.
macro_rules! vector_kernel {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident<$vector:ident>($($argument:ident : $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name(isa: $crate::isa::Isa, $($argument: $type),*) $(-> $result)? {
            #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
            #[inline(always)]
            fn body<$vector: $crate::vector::Vector>($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                body::<$crate::vector::Avx2>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                body::<$crate::vector::Avx512>($($argument),*)
            }

            match isa.level() {
                $crate::isa::Level::Baseline => body::<$crate::vector::Plain>($($argument),*),
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code, reason = "the processor was asked")]
                // SAFETY: an `Isa` of this level exists only where the processor was found to have these features.
                $crate::isa::Level::Avx2 => unsafe { avx2($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code, reason = "the processor was asked")]
                // SAFETY: as above.
                $crate::isa::Level::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    };
}

pub(crate) use vector_kernel;

/// Without any particular instructions: what the compiler makes of arrays.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f64; LANES]);

/// All bits of a lane, or none.
#[derive(Clone, Copy)]
pub(crate) struct PlainMask([u64; LANES]);

impl Plain {
    #[inline(always)]
    fn each(self, other: Self, operation: impl Fn(f64, f64) -> f64) -> Self {
        Self(std::array::from_fn(|lane| operation(self.0[lane], other.0[lane])))
    }

    #[inline(always)]
    fn compare(self, other: Self, holds: impl Fn(f64, f64) -> bool) -> PlainMask {
        PlainMask(std::array::from_fn(|lane| if holds(self.0[lane], other.0[lane]) { u64::MAX } else { 0 }))
    }
}

impl Vector for Plain {
    type Mask = PlainMask;

    #[inline(always)]
    fn load(from: &[f64; LANES]) -> Self {
        Self(*from)
    }

    #[inline(always)]
    fn store(self, to: &mut [f64; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f64::sqrt))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.map(f64::abs))
    }

    #[inline(always)]
    fn is_less(self, than: Self) -> PlainMask {
        self.compare(than, |a, b| a < b)
    }

    #[inline(always)]
    #[allow(clippy::float_cmp, reason = "the same number is looked for")]
    fn is_equal(self, to: Self) -> PlainMask {
        self.compare(to, |a, b| a == b)
    }

    #[inline(always)]
    fn choose(mask: PlainMask, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            f64::from_bits(yes.0[lane].to_bits() & mask.0[lane] | no.0[lane].to_bits() & !mask.0[lane])
        }))
    }

    #[inline(always)]
    fn or_less(self, other: Self) -> Self {
        self.each(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn or_greater(self, other: Self) -> Self {
        self.each(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn bits(mask: PlainMask) -> u32 {
        mask.0.iter().rev().fold(0, |bits, lane| bits << 1 | u32::from(*lane != 0))
    }

    #[inline(always)]
    fn mask(bits: u32) -> PlainMask {
        PlainMask(std::array::from_fn(|lane| if bits >> lane & 1 == 1 { u64::MAX } else { 0 }))
    }

    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        std::array::from_fn(|column| Self(rows.map(|row| row.0[column])))
    }

    #[inline(always)]
    fn exchange<const HALF: usize>(self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane ^ HALF]))
    }
}

/// The operators of numbers and of masks.
macro_rules! operators {
    ($type:ident, $($trait:ident $method:ident $operation:expr;)*) => {
        $(impl $trait for $type {
            type Output = Self;

            #[inline(always)]
            #[allow(clippy::redundant_closure_call, reason = "an operator's body")]
            fn $method(self, other: Self) -> Self {
                ($operation)(self, other)
            }
        })*
    };
}

operators! { Plain,
    Add add |a: Self, b| a.each(b, |a, b| a + b);
    Sub sub |a: Self, b| a.each(b, |a, b| a - b);
    Mul mul |a: Self, b| a.each(b, |a, b| a * b);
    Div div |a: Self, b| a.each(b, |a, b| a / b);
}

operators! { PlainMask,
    BitAnd bitand |a: Self, b: Self| Self(std::array::from_fn(|lane| a.0[lane] & b.0[lane]));
    BitOr bitor |a: Self, b: Self| Self(std::array::from_fn(|lane| a.0[lane] | b.0[lane]));
}

impl Not for PlainMask {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        Self(self.0.map(|lane| !lane))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// The instructions of x86-64.
///
/// A value of these types comes about in a version of a kernel only that is compiled for the instruction set, and that [`vector_kernel!`] calls where the processor has it.
#[cfg(target_arch = "x86_64")]
mod x86 {
    #![allow(unsafe_code, reason = "instructions that not every processor has")]

    use std::arch::x86_64::*;

    use super::{Add, BitAnd, BitOr, Div, LANES, Mul, Not, Sub, Vector};

    /// Calls an instruction.
    macro_rules! instruction {
        ($call:expr) => {
            // SAFETY: this runs in a kernel's version for processors that have it, see the head of this module; what is loaded and stored is an array as long.
            unsafe { $call }
        };
    }

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
            instruction!(Self(
                _mm256_blendv_pd(no.0, yes.0, mask.0),
                _mm256_blendv_pd(no.1, yes.1, mask.1)
            ))
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    vector_kernel! {
        /// The bits of everything that a vector can do with these.
        fn everything<V>(rows: &[[f64; LANES]; LANES]) -> Vec<[u64; LANES]> {
            let rows = rows.map(|row| V::load(&row));
            let [a, b, ..] = rows;
            let (is_less, is_equal) = (a.is_less(b), a.is_equal(b));
            let masks = [is_less, is_equal, is_less | is_equal, is_less & !is_equal, !is_less, V::mask(0b1001_0110)];
            let mut found = vec![a + b, a - b, a * b, a / b, a.sqrt(), a.abs(), a.or_less(b), a.or_greater(b)];
            found.extend([a.exchange::<1>(), a.exchange::<2>(), a.exchange::<4>(), a.least(), a.greatest()]);
            found.extend(V::transpose(rows));
            found.extend(masks.map(|mask| V::choose(mask, a, b)));
            found.extend(masks.map(|mask| V::choose(V::mask(V::bits(mask)), a, V::splat(f64::from(V::bits(mask))))));
            found.into_iter().map(|vector| vector.lanes().map(f64::to_bits)).collect()
        }
    }

    #[test]
    fn instruction_sets_agree() {
        let mut rows: [[f64; LANES]; LANES] =
            std::array::from_fn(|row| std::array::from_fn(|column| (row * LANES + column) as f64 * 0.37 - 9.1));
        rows[0] = [3.0, -1.5, 7.0, 0.0, -0.0, f64::INFINITY, 2.5, -8.0];
        rows[1] = [2.0, -1.5, f64::NAN, -0.0, 0.0, 1.0, f64::NEG_INFINITY, 9.0];
        let all: Vec<_> = Isa::available().into_iter().map(|isa| everything(isa, &rows)).collect();
        let numbers: Vec<[f64; LANES]> = all[0].iter().map(|bits| bits.map(f64::from_bits)).collect();
        assert_eq!(numbers[8], [-1.5, 3.0, 0.0, 7.0, f64::INFINITY, -0.0, -8.0, 2.5]);
        assert_eq!((numbers[11], numbers[12]), ([-8.0; LANES], [f64::INFINITY; LANES]));
        for (row, values) in rows.iter().enumerate().skip(2) {
            for (column, value) in values.iter().enumerate() {
                assert_eq!(numbers[13 + column][row].to_bits(), value.to_bits());
            }
        }
        // What sign and payload a NaN has that an operation makes is not said.
        let plain = |found: &[[u64; LANES]]| -> Vec<u64> {
            let one = |bits: &u64| if f64::from_bits(*bits).is_nan() { u64::MAX } else { *bits };
            found.as_flattened().iter().map(one).collect()
        };
        assert!(all.iter().all(|found| plain(found) == plain(&all[0])));
    }
}
