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

    /// The number in its first lane.
    fn first(self) -> f64;

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
                $crate::vector::align_stack();
                body::<$crate::vector::Avx2>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                $crate::vector::align_stack();
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

/// Calls instructions of a kernel's version for one instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! instruction {
    ($call:expr) => {
        // SAFETY: a vector of this type comes about only in the version of a kernel that is compiled for its instruction set, and that `vector_kernel!` calls where the processor
        // has it. What is loaded and stored is an array as long.
        unsafe { $call }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod plain;

pub(crate) use self::plain::Plain;
#[cfg(target_arch = "x86_64")]
pub(crate) use self::{avx2::Avx2, avx512::Avx512};

/// Has the compiler align the stack of the function that this is inlined into, as it does for a local like this. Vectors that find no register then
/// do not straddle two lines of the cache: on some stacks that took half as much time again.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn align_stack() {
    std::hint::black_box(&Eight::default());
}

/// Has the lines of the cache that hold these numbers fetched, because they are read soon.
#[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "only x86-64 is given the hint"))]
#[inline(always)]
pub(crate) fn prefetch(values: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LANES) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        #[allow(unsafe_code, reason = "the baseline has this instruction")]
        // SAFETY: a hint, which reads nothing.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
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
        let mut rows: [[f64; LANES]; LANES] = std::array::from_fn(|row| {
            std::array::from_fn(|column| (row * LANES + column) as f64 * 0.37 - 9.1)
        });
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
