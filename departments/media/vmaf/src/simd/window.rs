//! Windows whose weights sum to 2^16, as dot products of 16-bit pairs.
//!
//! Weights fit 16 bits with their sign; samples need not: those that do not are lowered by 2^15. A filtered sum is then too
//! low by exactly 2^31, which the start of the sum makes good modulo 2^32.
//!
//! Down the picture, rows are taken in pairs (samples of two rows side by side in a lane), and one pass over the pairs
//! serves [`ROWS`] rows of output: a row that uses only one of a pair has a weight of zero for the other. Across, a load
//! at an even offset holds pairs of neighbours, and serves the output at that column and the one at the next likewise.

#![allow(clippy::inline_always, reason = "parts of kernels")]
#![allow(clippy::needless_range_loop, reason = "one index into several arrays of registers")]

use super::Simd;

/// Scale 0 of VIF.
pub(crate) const FILTER_0: [u32; 17] =
    [489, 935, 1640, 2640, 3896, 5274, 6547, 7455, 7784, 7455, 6547, 5274, 3896, 2640, 1640, 935, 489];
/// Scale 1 of VIF.
pub(crate) const FILTER_1: [u32; 9] = [1244, 3663, 7925, 12590, 14692, 12590, 7925, 3663, 1244];
/// Scale 2 of VIF, and motion.
pub(crate) const FILTER_2: [u32; 5] = [3571, 16004, 26386, 16004, 3571];

/// Rows of output at once.
pub(crate) const ROWS: usize = 4;
/// Values before and after a row: the widest window, and the second halves of pairs.
pub(crate) const PAD: usize = 16;

/// A sample that rows are made of.
pub(crate) trait Element: Copy + Into<u32> {
    /// Whether a square takes more than 16 bits.
    const IS_DEEP: bool;
    /// Pairs of samples; deep ones are lowered by 2^15.
    ///
    /// # Safety
    /// As [`Simd::pairs8`].
    unsafe fn pairs<S: Simd>(simd: S, a: *const Self, b: *const Self) -> S::V;
}

impl Element for u8 {
    const IS_DEEP: bool = false;
    #[inline(always)]
    unsafe fn pairs<S: Simd>(simd: S, a: *const Self, b: *const Self) -> S::V {
        // SAFETY: the caller's.
        unsafe { simd.pairs8(a, b) }
    }
}

impl Element for u16 {
    const IS_DEEP: bool = true;
    #[inline(always)]
    unsafe fn pairs<S: Simd>(simd: S, a: *const Self, b: *const Self) -> S::V {
        // SAFETY: the caller's.
        unsafe { simd.pairs16(a, b) }
    }
}

/// A row of 16-bit numbers lowered by 2^15, padded.
pub(crate) type Row = Vec<i16>;

/// Two weights in a lane.
const fn pair(first: u32, second: u32) -> i32 {
    (first | (second << 16)) as i32
}

/// Weights of `rows` outputs for `pairs` pairs of rows: output `i` begins `i` rows further down.
pub(crate) const fn down_weights<const N: usize, const P: usize, const R: usize>(
    filter: &[u32; N],
) -> [[i32; R]; P] {
    let mut weights = [[0; R]; P];
    let mut p = 0;
    while p < P {
        let mut i = 0;
        while i < R {
            let (first, second) = (2 * p, 2 * p + 1);
            let a = if first >= i && first - i < N { filter[first - i] } else { 0 };
            let b = if second >= i && second - i < N { filter[second - i] } else { 0 };
            weights[p][i] = pair(a, b);
            i += 1;
        }
        p += 1;
    }
    weights
}

/// As [`down_weights`], of outputs two rows apart.
pub(crate) const fn half_weights<const N: usize, const P: usize>(filter: &[u32; N]) -> [[i32; ROWS]; P] {
    let packed: [[i32; 1]; P] = down_weights(filter);
    let mut weights = [[0; ROWS]; P];
    let mut p = 0;
    while p < P {
        let mut i = 0;
        while i < ROWS {
            weights[p][i] = if p >= i { packed[p - i][0] } else { 0 };
            i += 1;
        }
        p += 1;
    }
    weights
}

/// A filter of an odd number of taps, as weights for pairs.
pub(crate) trait Window {
    /// Pairs of neighbours that a window touches.
    const ACROSS: usize;
    /// Pairs of rows that [`ROWS`] windows touch.
    const DOWN: usize;
    /// Pairs of rows that [`ROWS`] windows touch of which each is two rows below the one before.
    const HALVING: usize;
    /// Taps on each side of the middle.
    const REACH: usize;
    /// Weights by pair for the output at an even column and at the next.
    fn across() -> &'static [[i32; 2]];
    /// Weights by pair for each of [`ROWS`] rows.
    fn down() -> &'static [[i32; ROWS]];
    /// As [`Window::down`], for rows two apart.
    fn halving() -> &'static [[i32; ROWS]];
}

macro_rules! window {
    ($(#[$meta:meta])* $name:ident, $filter:expr, $taps:literal) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(crate) struct $name;
        impl Window for $name {
            const ACROSS: usize = $taps / 2 + 1;
            const DOWN: usize = ($taps + ROWS - 1) / 2;
            const HALVING: usize = $taps / 2 + ROWS;
            const REACH: usize = $taps / 2;
            #[inline(always)]
            fn halving() -> &'static [[i32; ROWS]] {
                const WEIGHTS: [[i32; ROWS]; $taps / 2 + ROWS] = half_weights(&$filter);
                &WEIGHTS
            }
            #[inline(always)]
            fn across() -> &'static [[i32; 2]] {
                const WEIGHTS: [[i32; 2]; $taps / 2 + 1] = down_weights(&$filter);
                &WEIGHTS
            }
            #[inline(always)]
            fn down() -> &'static [[i32; ROWS]] {
                const WEIGHTS: [[i32; ROWS]; ($taps + ROWS - 1) / 2] = down_weights(&$filter);
                &WEIGHTS
            }
        }
    };
}

window!(/** Scale 0. */ Window0, FILTER_0, 17);
window!(/** Scale 1. */ Window1, FILTER_1, 9);
window!(/** Scale 2. */ Window2, FILTER_2, 5);

/// The least width of a picture for these kernels: two vectors of the widest set.
pub(crate) const MIN_WIDTH: usize = 32;

/// `-2^15` in both halves of a lane.
pub(crate) const LOWER: i32 = 0x8000_8000_u32 as i32;

/// The sign bit of a lane: added, it makes the lowered sums good.
pub(crate) const RAISE: i32 = i32::MIN;

/// Sums at even and at odd columns of a padded row of lowered numbers, from column `x`; `start` is what they begin with.
///
/// # Safety
/// The row holds `x + 2 LANES` numbers and twice the padding.
#[inline(always)]
pub(crate) unsafe fn filtered<S: Simd, W: Window>(simd: S, row: &Row, x: usize, start: i32) -> [S::V; 2] {
    let mut sums = [simd.splat(start); 2];
    for p in 0..W::ACROSS {
        // SAFETY: the caller's; a window reaches less than `PAD` beyond the row.
        let values = unsafe { simd.load16(row.as_ptr().add(PAD - W::REACH + 2 * p + x)) };
        for parity in 0..2 {
            sums[parity] = simd.dot(sums[parity], values, simd.splat(W::across()[p][parity]));
        }
    }
    sums
}
