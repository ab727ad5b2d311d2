//! Sums of products over many lags, by spectra.
//!
//! `r(k) = Σ a(t)·x(t + k)` for the lags from −R to R. Three things make that cheap (A. Oppenheim, R. Schafer, Discrete-Time Signal Processing, 8.7, for the first):
//!
//! - **Blocks.** a is cut into blocks of B points, x into stretches of N = B + 2R around them. Each stretch is transformed and multiplied by the conjugate transform of its block, which is known beforehand; the products are
//!   summed, and only their sum is transformed back. N is a power of two chosen for the number of lags, so everything stays in the first cache.
//! - **Halves.** A transform takes complex numbers. With H half the points, α(t) = a(t) + i·a(t + H) and z(t) = x(t) + i·x(t + H), the real part of Σ α̅(t)·z(t + k) is r(k): half as many blocks, and nothing to untangle.
//! - **No order.** The transform by halving frequencies leaves them in an odd order, the one by halving time takes them in it, and what is between does not mind.
//!
//! [`LANES`] signals stand side by side, each in its own lane, with the same arithmetic whatever stands beside it. So the answer has the same bits for one signal and for a table, on every instruction set
//! and any number of threads.

use crate::isa::{Isa, kernel};

/// Signals side by side: one AVX2 register.
pub(super) const LANES: usize = 4;

/// Values of signals side by side at one time.
pub(super) type Lane = [f64; LANES];

/// Real and imaginary parts, side by side.
type Point = [Lane; 2];

/// The least transform: of one step by halving into quarters before the last one.
const LEAST: usize = 16;

/// e^(−2πi·jk/n) for k of 1, 2, 3.
type Turns = [[f64; 2]; 3];

/// Turns of a transform of some size, those of the first step first.
#[derive(Clone, Debug, PartialEq)]
struct Steps {
    size: usize,
    /// Of the step into halves that sizes which are no power of four begin with.
    halves: Vec<[f64; 2]>,
    /// Of each step into quarters but the last, which has none.
    quarters: Vec<Vec<Turns>>,
}

impl Steps {
    fn new(size: usize) -> Self {
        let turn = |numerator: usize, of: usize| {
            let angle = -std::f64::consts::TAU * (numerator % of) as f64 / of as f64;
            [libm::cos(angle), libm::sin(angle)]
        };
        let is_odd = size.trailing_zeros() % 2 == 1;
        let halves = if is_odd { (0..size / 2).map(|j| turn(j, size)).collect() } else { Vec::new() };
        let mut length = if is_odd { size / 2 } else { size };
        let mut quarters = Vec::new();
        while length > 4 {
            quarters.push((0..length / 4).map(|j| [1, 2, 3].map(|k| turn(j * k, length))).collect());
            length /= 4;
        }
        Self { size, halves, quarters }
    }
}

/// The first signal, by its spectra.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spectra {
    points: usize,
    reach: usize,
    /// Half the points.
    half: usize,
    /// Points of a block.
    block: usize,
    steps: Steps,
    /// Of each block, conjugate and divided by the size, in the transform's order.
    blocks: Vec<Vec<[f64; 2]>>,
}

/// The size that takes the fewest operations.
fn size_for(half: usize, reach: usize) -> usize {
    let least = (2 * reach + 1).next_power_of_two().max(LEAST);
    let most = (half + 2 * reach).next_power_of_two().max(least);
    let work = |size: usize| {
        let blocks = half.div_ceil(size - 2 * reach);
        // Additions and multiplications: a transform for each block and one back, and a product for each block.
        (blocks + 1) * size * (4 * size.ilog2() as usize) + blocks * size * 8
    };
    let sizes = std::iter::successors(Some(least), |size| (*size < most).then_some(2 * size));
    sizes.min_by_key(|size| work(*size)).unwrap_or(most)
}

impl Spectra {
    /// For lags from −`reach` to `reach`.
    pub(super) fn new(values: &[f64], reach: usize) -> Self {
        let isa = Isa::detect();
        let points = values.len();
        let half = points.div_ceil(2).max(1);
        let size = size_for(half, reach);
        let block = size - 2 * reach;
        let steps = Steps::new(size);
        let scale = 1.0 / size as f64;
        let mut work = vec![[[0.0; LANES]; 2]; size];
        let value = |place: usize| values.get(place).copied().unwrap_or(0.0);
        let mut blocks = Vec::new();
        for start in (0..half).step_by(block) {
            let mut real = vec![[0.0; LANES]; size];
            let mut imaginary = real.clone();
            for (place, t) in (start..half.min(start + block)).enumerate() {
                real[place] = [value(t); LANES];
                imaginary[place] = [value(t + half); LANES];
            }
            first_step(isa, &steps, &real, &imaginary, &mut work);
            quarter_steps(isa, &steps, &mut work);
            let mut spectrum = vec![[[0.0; LANES]; 2]; size];
            let ones = vec![[1.0, 0.0]; size];
            last_step(isa, &work, &ones, &mut spectrum);
            blocks.push(spectrum.iter().map(|[re, im]| [re[0] * scale, -im[0] * scale]).collect());
        }
        Self { points, reach, half, block, steps, blocks }
    }

    /// Whether it is for these lags.
    pub(super) fn is_for(&self, reach: usize) -> bool {
        self.reach == reach
    }

    fn lags(&self) -> usize {
        2 * self.reach + 1
    }
}

/// Memory for second signals.
#[derive(Debug)]
pub(super) struct Bench {
    /// The second signals, with zeros around them.
    padded: Vec<Lane>,
    /// One stretch's transform.
    work: Vec<Point>,
    /// The sum of products.
    total: Vec<Point>,
    sums: Vec<Lane>,
}

impl Bench {
    pub(super) fn new(spectra: &Spectra) -> Self {
        let size = spectra.steps.size;
        let last = (spectra.blocks.len() - 1) * spectra.block + size + spectra.half;
        let padded = last.max(spectra.reach + spectra.points);
        Self {
            padded: vec![[0.0; LANES]; padded],
            work: vec![[[0.0; LANES]; 2]; size],
            total: vec![[[0.0; LANES]; 2]; size],
            sums: vec![[0.0; LANES]; spectra.lags()],
        }
    }

    /// Where the second signals go. What stands there is that of the last time.
    pub(super) fn places(&mut self, spectra: &Spectra) -> &mut [Lane] {
        &mut self.padded[spectra.reach..spectra.reach + spectra.points]
    }

    /// The sums of all lags.
    pub(super) fn sums(&mut self, isa: Isa, spectra: &Spectra) -> &[Lane] {
        let Self { padded, work, total, sums } = self;
        let size = spectra.steps.size;
        total.fill([[0.0; LANES]; 2]);
        for (number, spectrum) in spectra.blocks.iter().enumerate() {
            let start = number * spectra.block;
            let real = &padded[start..start + size];
            let imaginary = &padded[start + spectra.half..start + spectra.half + size];
            first_step(isa, &spectra.steps, real, imaginary, work);
            quarter_steps(isa, &spectra.steps, work);
            last_step(isa, work, spectrum, total);
        }
        back(isa, &spectra.steps, total, sums);
        sums
    }
}

/// The operations, inlined into each instruction set's version.
#[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
mod complex {
    use super::{LANES, Lane, Point};

    #[inline(always)]
    fn each(operation: impl Fn(usize) -> f64) -> Lane {
        let mut lanes = [0.0; LANES];
        for (lane, value) in lanes.iter_mut().enumerate() {
            *value = operation(lane);
        }
        lanes
    }

    #[inline(always)]
    pub(super) fn plus(a: Point, b: Point) -> Point {
        [each(|lane| a[0][lane] + b[0][lane]), each(|lane| a[1][lane] + b[1][lane])]
    }

    #[inline(always)]
    pub(super) fn minus(a: Point, b: Point) -> Point {
        [each(|lane| a[0][lane] - b[0][lane]), each(|lane| a[1][lane] - b[1][lane])]
    }

    /// −i·(a − b).
    #[inline(always)]
    pub(super) fn minus_turned(a: Point, b: Point) -> Point {
        [each(|lane| a[1][lane] - b[1][lane]), each(|lane| b[0][lane] - a[0][lane])]
    }

    #[inline(always)]
    pub(super) fn times(a: Point, [re, im]: [f64; 2]) -> Point {
        [each(|lane| a[0][lane] * re - a[1][lane] * im), each(|lane| a[1][lane] * re + a[0][lane] * im)]
    }

    /// By the conjugate.
    #[inline(always)]
    pub(super) fn times_back(a: Point, [re, im]: [f64; 2]) -> Point {
        [each(|lane| a[0][lane] * re + a[1][lane] * im), each(|lane| a[1][lane] * re - a[0][lane] * im)]
    }

    /// The four sums of a step into quarters.
    #[inline(always)]
    pub(super) fn quarters(a: Point, b: Point, c: Point, d: Point) -> [Point; 4] {
        let (even, even_less) = (plus(a, c), minus(a, c));
        let (odd, odd_less) = (plus(b, d), minus_turned(b, d));
        [plus(even, odd), plus(even_less, odd_less), minus(even, odd), minus(even_less, odd_less)]
    }
}

use complex::{minus, plus, quarters, times, times_back};

/// Four parts of this length.
#[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
#[inline(always)]
fn parts<T>(slice: &[T], length: usize) -> [&[T]; 4] {
    [0, 1, 2, 3].map(|part| &slice[part * length..][..length])
}

/// Four parts of this length.
#[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
#[inline(always)]
fn parts_mut<T>(slice: &mut [T], length: usize) -> [&mut [T]; 4] {
    let (left, right) = slice.split_at_mut(2 * length);
    let (a, b) = left.split_at_mut(length);
    let (c, d) = right.split_at_mut(length);
    [a, b, c, &mut d[..length]]
}

kernel! {
    /// From the signals into `work`.
    fn first_step[][](steps: &Steps, real: &[Lane], imaginary: &[Lane], work: &mut [Point]) {
        if !steps.halves.is_empty() {
            let (left, right) = work.split_at_mut(steps.size / 2);
            let (real_left, real_right) = real.split_at(steps.size / 2);
            let (imaginary_left, imaginary_right) = imaginary.split_at(steps.size / 2);
            for (j, turn) in steps.halves.iter().enumerate() {
                let a = [real_left[j], imaginary_left[j]];
                let b = [real_right[j], imaginary_right[j]];
                left[j] = plus(a, b);
                right[j] = times(minus(a, b), *turn);
            }
            return;
        }
        let Some(turns) = steps.quarters.first() else { return };
        let quarter = turns.len();
        let (real, imaginary) = (parts(real, quarter), parts(imaginary, quarter));
        let [one, two, three, four] = parts_mut(work, quarter);
        for (j, turns) in turns.iter().enumerate() {
            let at = |part: usize| [real[part][j], imaginary[part][j]];
            let [a, b, c, d] = quarters(at(0), at(1), at(2), at(3));
            (one[j], two[j]) = (a, times(b, turns[0]));
            (three[j], four[j]) = (times(c, turns[1]), times(d, turns[2]));
        }
    }
}

kernel! {
    /// All steps between the first and the last.
    fn quarter_steps[][](steps: &Steps, work: &mut [Point]) {
        let done = usize::from(steps.halves.is_empty());
        for turns in &steps.quarters[done..] {
            for stretch in work.chunks_exact_mut(4 * turns.len()) {
                let [one, two, three, four] = parts_mut(stretch, turns.len());
                for (j, turns) in turns.iter().enumerate() {
                    let [a, b, c, d] = quarters(one[j], two[j], three[j], four[j]);
                    (one[j], two[j]) = (a, times(b, turns[0]));
                    (three[j], four[j]) = (times(c, turns[1]), times(d, turns[2]));
                }
            }
        }
    }
}

kernel! {
    /// The last step, multiplied by a spectrum and added to `total`.
    fn last_step[][](work: &[Point], spectrum: &[[f64; 2]], total: &mut [Point]) {
        let work = work.as_chunks::<4>().0;
        let spectrum = spectrum.as_chunks::<4>().0;
        let total = total.as_chunks_mut::<4>().0;
        for ((work, spectrum), total) in work.iter().zip(spectrum).zip(total) {
            // One after the other, so that lanes are what stands side by side in a register.
            let [a, b, c, d] = quarters(work[0], work[1], work[2], work[3]);
            total[0] = plus(total[0], times(a, spectrum[0]));
            total[1] = plus(total[1], times(b, spectrum[1]));
            total[2] = plus(total[2], times(c, spectrum[2]));
            total[3] = plus(total[3], times(d, spectrum[3]));
        }
    }
}

kernel! {
    /// Back to lags, as far as they are asked for; `total` is overwritten.
    fn back[][](steps: &Steps, total: &mut [Point], sums: &mut [Lane]) {
        for four in total.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = quarters(four[0], four[1], four[2], four[3]);
            *four = [a, d, c, b];
        }
        let is_odd = !steps.halves.is_empty();
        let inner = usize::from(!is_odd);
        for turns in steps.quarters[inner..].iter().rev() {
            for stretch in total.chunks_exact_mut(4 * turns.len()) {
                let [one, two, three, four] = parts_mut(stretch, turns.len());
                for (j, turns) in turns.iter().enumerate() {
                    let (b, c) = (times_back(two[j], turns[0]), times_back(three[j], turns[1]));
                    let [a, b, c, d] = quarters(one[j], b, c, times_back(four[j], turns[2]));
                    (one[j], two[j], three[j], four[j]) = (a, d, c, b);
                }
            }
        }
        if is_odd {
            let (left, right) = total.split_at(steps.size / 2);
            for (j, sum) in sums.iter_mut().enumerate() {
                let place = j % left.len();
                let other = times_back(right[place], steps.halves[place]);
                *sum = if place == j { plus(left[place], other)[0] } else { minus(left[place], other)[0] };
            }
            return;
        }
        let Some(turns) = steps.quarters.first() else { return };
        let quarter = turns.len();
        for (place, turns) in turns.iter().enumerate().take(sums.len()) {
            let part = |number: usize| total[place + number * quarter];
            let (b, c) = (times_back(part(1), turns[0]), times_back(part(2), turns[1]));
            let [a, b, c, d] = quarters(part(0), b, c, times_back(part(3), turns[2]));
            for (number, found) in [a, d, c, b].into_iter().enumerate() {
                if let Some(sum) = sums.get_mut(place + number * quarter) {
                    *sum = found[0];
                }
            }
        }
    }
}
