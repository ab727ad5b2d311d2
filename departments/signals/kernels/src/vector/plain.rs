//! Without any particular instructions: what the compiler makes of arrays. The twin that the others are compared with.

#![allow(clippy::inline_always, reason = "inlined into each instruction set's version")]

use std::ops::{Add, BitAnd, BitOr, Div, Mul, Not, Sub};

use super::{LANES, Vector};

/// An array.
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
    fn first(self) -> f64 {
        self.0[0]
    }

    #[inline(always)]
    fn exchange<const HALF: usize>(self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane ^ HALF]))
    }
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
