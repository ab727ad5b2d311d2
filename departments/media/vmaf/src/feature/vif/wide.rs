//! The windows of VIF with dot products of 16-bit pairs.
//!
//! [`crate::simd::window`] tells how windows become dot products. Squares of deep samples and what is filtered across take
//! 32 bits and are filtered as two halves.
//!
//! What belongs to the reference alone is computed once for all the pictures that are compared with it.

#![allow(unsafe_code, reason = "vectors are loaded by address; lengths are checked on entry")]
#![allow(clippy::inline_always, reason = "parts of kernels")]
#![allow(clippy::needless_range_loop, reason = "one index into several arrays of registers")]

use super::Shifts;
use crate::kernel::mirror_row;
use crate::simd::window::{Element, LOWER, MIN_WIDTH, PAD, RAISE, ROWS, Row, Window, filtered};
use crate::simd::{Simd, simd_kernel};

/// The upper and lower halves of a row of 32-bit numbers.
#[derive(Debug, Default)]
pub(super) struct Halves {
    pub(super) high: Row,
    pub(super) low: Row,
}

/// What one row of a picture is filtered to, down.
#[derive(Debug, Default)]
pub(super) struct Down {
    mean: Row,
    square: Halves,
    /// Products with the reference; empty for the reference itself.
    product: Halves,
}

/// What one row is filtered to, both ways.
#[derive(Debug, Default)]
pub(super) struct Across {
    /// Means, 32 bits.
    pub(super) mean: Vec<i32>,
    /// Variances.
    pub(super) variance: Vec<i32>,
    /// Covariances with the reference; empty for the reference itself.
    pub(super) covariance: Vec<i32>,
}

impl Down {
    pub(super) fn resize(&mut self, width: usize) {
        let rows = [&mut self.mean, &mut self.square.high, &mut self.square.low];
        for row in rows.into_iter().chain([&mut self.product.high, &mut self.product.low]) {
            row.resize(width + 2 * PAD, 0);
        }
    }

    /// Continues the rows by reflection.
    fn mirror(&mut self, width: usize, has_product: bool) {
        let Self { mean, square, product } = self;
        let rows = [mean, &mut square.high, &mut square.low, &mut product.high, &mut product.low];
        for row in rows.into_iter().take(if has_product { 5 } else { 3 }) {
            mirror_row(row, PAD, width);
        }
    }
}

impl Across {
    pub(super) fn resize(&mut self, width: usize) {
        for row in [&mut self.mean, &mut self.variance, &mut self.covariance] {
            row.resize(width, 0);
        }
    }
}

/// Filters a picture down: `rows` are the rows around [`ROWS`] outputs, from the first that is used; `reference` are those
/// of the reference, which are used where products with it are wanted.
pub(super) fn down<E: Element, W: Window, const HAS_PRODUCT: bool>(
    isa: crate::Isa,
    reference: &[&[E]],
    rows: &[&[E]],
    shifts: Shifts,
    width: usize,
    out: &mut [Down; ROWS],
) {
    let is_whole = |rows: &[&[E]]| rows.len() >= 2 * W::DOWN && rows.iter().all(|row| row.len() >= width);
    assert!(is_whole(reference) && is_whole(rows) && width >= MIN_WIDTH, "invariant: rows are whole");
    for row in out.iter() {
        let halves = [&row.square.high, &row.square.low, &row.product.high, &row.product.low];
        let is_long = |row: &Row| row.len() >= width + 2 * PAD;
        assert!(is_long(&row.mean) && halves.into_iter().all(is_long), "invariant: scratch was resized");
    }
    down_kernel::<E, W, HAS_PRODUCT>(isa, reference, rows, shifts, width, out);
    for row in out {
        row.mirror(width, HAS_PRODUCT);
    }
}

simd_kernel! {
    fn down_kernel [E: Element, W: Window, const HAS_PRODUCT: bool] [E, W, HAS_PRODUCT] (
        simd; reference: &[&[E]], rows: &[&[E]], shifts: Shifts, width: usize, out: &mut [Down; ROWS],
    ) -> () {
        let mut x = 0;
        loop {
            // SAFETY: the caller checked the rows' lengths, and `x + LANES` is at most the width.
            unsafe { down_at::<S, E, W, HAS_PRODUCT>(simd, reference, rows, shifts, x, out) };
            if x + S::LANES == width {
                break;
            }
            x = (x + S::LANES).min(width - S::LANES);
        }
    }
}

/// Sums of one moment: of whole numbers, or of their halves.
#[derive(Clone, Copy)]
struct Moment<V> {
    high: [V; ROWS],
    low: [V; ROWS],
}

impl<V: Copy> Moment<V> {
    #[inline(always)]
    fn new<S: Simd<V = V>>(simd: S, round: u32) -> Self {
        Self { high: [simd.splat(RAISE); ROWS], low: [simd.splat(RAISE.wrapping_add(round as i32)); ROWS] }
    }

    /// Adds weighted products of pairs.
    #[inline(always)]
    fn add<S: Simd<V = V>, const IS_DEEP: bool>(&mut self, simd: S, a: V, b: V, weights: &[V; ROWS]) {
        let lower = simd.splat(LOWER);
        let low = simd.xor(simd.mul_low16(a, b), lower);
        for i in 0..ROWS {
            self.low[i] = simd.dot(self.low[i], low, weights[i]);
        }
        if IS_DEEP {
            let high = simd.xor(simd.mul_high16(a, b), lower);
            for i in 0..ROWS {
                self.high[i] = simd.dot(self.high[i], high, weights[i]);
            }
        }
    }

    /// The sum of row `i`, shifted.
    #[inline(always)]
    fn sum<S: Simd<V = V>, const IS_DEEP: bool>(&self, simd: S, i: usize, shift: u32) -> V {
        if IS_DEEP {
            simd.add(simd.shift_left(self.high[i], 16 - shift), simd.shift_right(self.low[i], shift))
        } else {
            self.low[i]
        }
    }
}

/// # Safety
/// Rows of samples hold `x + LANES`, those of `out` that and twice the padding.
#[inline(always)]
unsafe fn down_at<S: Simd, E: Element, W: Window, const HAS_PRODUCT: bool>(
    simd: S,
    reference: &[&[E]],
    rows: &[&[E]],
    shifts: Shifts,
    x: usize,
    out: &mut [Down; ROWS],
) {
    let lower = simd.splat(LOWER);
    let mean_start = (1 << (shifts.mean - 1)) + if E::IS_DEEP { RAISE } else { 0 };
    let mut mean = [simd.splat(mean_start); ROWS];
    let round = if shifts.square == 0 { 0 } else { 1_u32 << (shifts.square - 1) };
    let mut square = Moment::new(simd, round);
    let mut product = Moment::new(simd, round);
    for p in 0..W::DOWN {
        let packed = &W::down()[p];
        let mut weights = [simd.splat(0); ROWS];
        for i in 0..ROWS {
            weights[i] = simd.splat(packed[i]);
        }
        // SAFETY: the caller's.
        let own = unsafe { E::pairs(simd, rows[2 * p].as_ptr().add(x), rows[2 * p + 1].as_ptr().add(x)) };
        let lowered = if E::IS_DEEP { simd.xor(own, lower) } else { own };
        for i in 0..ROWS {
            mean[i] = simd.dot(mean[i], lowered, weights[i]);
        }
        if E::IS_DEEP {
            square.add::<S, true>(simd, own, own, &weights);
        } else {
            square.add::<S, false>(simd, own, own, &weights);
        }
        if HAS_PRODUCT {
            // SAFETY: the caller's.
            let other = unsafe {
                E::pairs(simd, reference[2 * p].as_ptr().add(x), reference[2 * p + 1].as_ptr().add(x))
            };
            if E::IS_DEEP {
                product.add::<S, true>(simd, own, other, &weights);
            } else {
                product.add::<S, false>(simd, own, other, &weights);
            }
        }
    }
    for (i, out) in out.iter_mut().enumerate() {
        let mean = simd.xor(simd.shift_right(mean[i], shifts.mean), lower);
        // SAFETY: the caller's; rows are padded by `PAD` before.
        unsafe { simd.store_low16(mean, out.mean.as_mut_ptr().add(PAD + x)) };
        let moments = [(square, &mut out.square), (product, &mut out.product)];
        for (moment, halves) in moments.into_iter().take(1 + usize::from(HAS_PRODUCT)) {
            let sum = if E::IS_DEEP {
                moment.sum::<S, true>(simd, i, shifts.square)
            } else {
                moment.sum::<S, false>(simd, i, shifts.square)
            };
            let sum = simd.xor(sum, lower);
            // SAFETY: as above.
            unsafe {
                simd.store_low16(sum, halves.low.as_mut_ptr().add(PAD + x));
                simd.store_low16(simd.shift_right(sum, 16), halves.high.as_mut_ptr().add(PAD + x));
            }
        }
    }
}

/// Filters a row across: means and variances, and where `reference` has the means of the reference, covariances with it.
pub(super) fn across<W: Window>(
    isa: crate::Isa,
    down: &Down,
    reference: Option<&Across>,
    width: usize,
    out: &mut Across,
) {
    let halves = [&down.square.high, &down.square.low, &down.product.high, &down.product.low];
    let is_long = |row: &Row| row.len() >= width + 2 * PAD;
    assert!(is_long(&down.mean) && halves.into_iter().all(is_long), "invariant: scratch was resized");
    let lengths = [&out.mean, &out.variance, &out.covariance].map(Vec::len);
    assert!(
        lengths.into_iter().all(|length| length >= width) && width >= MIN_WIDTH,
        "invariant: scratch was resized"
    );
    match reference {
        Some(reference) => {
            assert!(reference.mean.len() >= width, "invariant: scratch was resized");
            across_kernel::<W, true>(isa, down, &reference.mean, width, out);
        }
        None => {
            across_kernel::<W, false>(isa, down, &[], width, out);
        }
    }
}

simd_kernel! {
    fn across_kernel [W: Window, const HAS_PRODUCT: bool] [W, HAS_PRODUCT] (
        simd; down: &Down, reference: &[i32], width: usize, out: &mut Across,
    ) -> () {
        let mut x = 0;
        loop {
            // SAFETY: the caller checked the rows' lengths, and `x + 2 LANES` is at most the width.
            unsafe { across_at::<S, W, HAS_PRODUCT>(simd, down, reference, x, out) };
            if x + 2 * S::LANES == width {
                break;
            }
            x = (x + 2 * S::LANES).min(width - 2 * S::LANES);
        }
    }
}

/// As [`filtered`], of 32-bit numbers by their halves, shifted by 16 bits and in their order.
///
/// # Safety
/// As [`filtered`].
#[inline(always)]
unsafe fn filtered_halves<S: Simd, W: Window>(simd: S, halves: &Halves, x: usize) -> [S::V; 2] {
    // SAFETY: the caller's.
    let (high, low) = unsafe {
        let low = filtered::<S, W>(simd, &halves.low, x, RAISE.wrapping_add(32_768));
        (filtered::<S, W>(simd, &halves.high, x, RAISE), low)
    };
    let even = simd.add(high[0], simd.shift_right(low[0], 16));
    let odd = simd.add(high[1], simd.shift_right(low[1], 16));
    let (first, second) = simd.interleave(even, odd);
    [first, second]
}

/// # Safety
/// Rows of `down` hold `x + 2 LANES` numbers and twice the padding, those of `out` and `reference` as many without.
#[inline(always)]
unsafe fn across_at<S: Simd, W: Window, const HAS_PRODUCT: bool>(
    simd: S,
    down: &Down,
    reference: &[i32],
    x: usize,
    out: &mut Across,
) {
    // SAFETY: the caller's, for all that follow.
    unsafe {
        let [even, odd] = filtered::<S, W>(simd, &down.mean, x, RAISE);
        let mean = simd.interleave(even, odd);
        let mean = [mean.0, mean.1];
        let square = filtered_halves::<S, W>(simd, &down.square, x);
        for half in 0..2 {
            let at = x + half * S::LANES;
            let variance = simd.sub(square[half], simd.mul_high32(mean[half], mean[half]));
            if HAS_PRODUCT {
                // Only the distorted picture's variance is kept from below zero; it is the one that sums count.
                simd.store32(simd.max(variance, simd.splat(0)), out.variance.as_mut_ptr().add(at));
            } else {
                simd.store32(variance, out.variance.as_mut_ptr().add(at));
                simd.store32(mean[half], out.mean.as_mut_ptr().add(at));
            }
        }
        if HAS_PRODUCT {
            let product = filtered_halves::<S, W>(simd, &down.product, x);
            for half in 0..2 {
                let at = x + half * S::LANES;
                let other = simd.load32(reference.as_ptr().add(at));
                let covariance = simd.sub(product[half], simd.mul_high32(mean[half], other));
                simd.store32(covariance, out.covariance.as_mut_ptr().add(at));
            }
        }
    }
}

/// Low-passes a picture and keeps every second row and column: rows `2 * (top + i)` for each of [`ROWS`], from the lines
/// around them.
pub(super) fn halve<E: Element, W: Window>(
    isa: crate::Isa,
    lines: &[&[E]],
    shift: u32,
    width: usize,
    rows: &mut [Row; ROWS],
    out: [&mut [u16]; ROWS],
) {
    let is_whole = lines.len() >= 2 * W::HALVING && lines.iter().all(|line| line.len() >= width);
    assert!(is_whole && width >= MIN_WIDTH, "invariant: rows are whole");
    for row in rows.iter_mut() {
        row.resize(width + 2 * PAD, 0);
    }
    halve_down::<E, W>(isa, lines, shift, width, rows);
    for (row, out) in rows.iter_mut().zip(out) {
        mirror_row(row, PAD, width);
        assert!(out.is_empty() || out.len() == width / 2, "invariant: half the width");
        if !out.is_empty() {
            halve_across::<W>(isa, row, out);
        }
    }
}

simd_kernel! {
    fn halve_down [E: Element, W: Window] [E, W] (
        simd; lines: &[&[E]], shift: u32, width: usize, rows: &mut [Row; ROWS],
    ) -> () {
        let lower = simd.splat(LOWER);
        let start = (1 << (shift - 1)) + if E::IS_DEEP { RAISE } else { 0 };
        let mut x = 0;
        loop {
            let mut sums = [simd.splat(start); ROWS];
            for p in 0..W::HALVING {
                // SAFETY: the caller checked the lines' lengths, and `x + LANES` is at most the width.
                let pairs = unsafe { E::pairs(simd, lines[2 * p].as_ptr().add(x), lines[2 * p + 1].as_ptr().add(x)) };
                let pairs = if E::IS_DEEP { simd.xor(pairs, lower) } else { pairs };
                for i in 0..ROWS {
                    sums[i] = simd.dot(sums[i], pairs, simd.splat(W::halving()[p][i]));
                }
            }
            for i in 0..ROWS {
                let mean = simd.xor(simd.shift_right(sums[i], shift), lower);
                // SAFETY: the rows were made that long, and padding.
                unsafe { simd.store_low16(mean, rows[i].as_mut_ptr().add(PAD + x)) };
            }
            if x + S::LANES == width {
                break;
            }
            x = (x + S::LANES).min(width - S::LANES);
        }
    }
}

simd_kernel! {
    fn halve_across [W: Window] [W] (simd; row: &Row, out: &mut [u16]) -> () {
        let width = out.len();
        let mut x = 0;
        loop {
            let mut sum = simd.splat(RAISE.wrapping_add(32_768));
            for p in 0..W::ACROSS {
                // SAFETY: the row has twice the width, and more padding than a window reaches.
                let values = unsafe { simd.load16(row.as_ptr().add(PAD - W::REACH + 2 * (p + x))) };
                sum = simd.dot(sum, values, simd.splat(W::across()[p][0]));
            }
            // SAFETY: `x + LANES` is at most the width, half of at least two vectors.
            unsafe { simd.store_low16(simd.shift_right(sum, 16), out.as_mut_ptr().add(x).cast()) };
            if x + S::LANES == width {
                break;
            }
            x = (x + S::LANES).min(width - S::LANES);
        }
    }
}
