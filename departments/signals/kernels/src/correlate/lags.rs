//! Sums of products over many lags, by spectra.
//!
//! `r(k) = Σ a(t)·x(t + k)` for the lags from −R to R. Five things make that cheap (A. Oppenheim, R. Schafer, Discrete-Time Signal Processing, 8.7, for the first):
//!
//! - **Blocks.** a is cut into blocks of B points, x into stretches of N = B + 2R around them. Each stretch is transformed and multiplied by the conjugate transform of its block, which is known beforehand; the products are
//!   summed, and only their sum is transformed back. N is a power of two chosen for the number of lags, so that a signal's transforms stay in the first cache.
//! - **Halves.** A transform takes complex numbers. With H half the points, α(t) = a(t) + i·a(t + H) and z(t) = x(t) + i·x(t + H), the real part of Σ α̅(t)·z(t + k) is r(k): half as many blocks, and nothing to untangle.
//! - **Neighbours.** [`LANES`] neighbouring points stand in a register. Steps between points that are farther apart need nothing else; the last ones are a [`leaf`]: a transform of 64 points whose registers
//!   are transposed between its two steps, so it never leaves them.
//! - **No order.** Leaves leave frequencies in an odd order. The way back begins with leaves that take them in it, and the product between does not mind.
//! - **Few lags.** The last step back computes the real parts of the lags that are asked for, and no other.
//!
//! The arithmetic is the same for a signal alone and in a table, on every instruction set and any number of threads, so the bits are.

#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "inlined into each instruction set's version, which functions of iterators and arrays need not be"
)]

use std::ops::{Add, Sub};

use crate::isa::Isa;
use crate::vector::{Eight, LANES, Vector, prefetch, vector_kernel};

/// Points of a leaf.
const LEAF: usize = LANES * LANES;

/// The least transform: of one step before the leaves.
const LEAST: usize = 2 * LEAF;

/// Real and imaginary parts of neighbouring points.
type Point = [Eight; 2];

const NOTHING: Point = [Eight([0.0; LANES]); 2];

/// A step into transforms of a part of the length.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    /// Into so many: 2, 4 or 8.
    radix: usize,
    /// From transforms of so many points.
    length: usize,
    /// e^(−2πi·jk/length) for k from 1, for the j of a register, register after register.
    turns: Vec<Point>,
}

/// What transforms of some size need.
#[derive(Clone, Debug, PartialEq)]
struct Steps {
    size: usize,
    first: Step,
    /// Those between the first and the leaves.
    inner: Vec<Step>,
    /// e^(−2πi·jk/64) for k from 0: between the two steps of a leaf.
    leaf: [Point; LANES],
    /// e^(−2πi·nk/size) for k from 0, for the places n of a register, register after register: of the last step back.
    back: Vec<Point>,
}

/// e^(−2πi·j/size) for all j, by the first eighth of the circle and its reflections. `size` is a multiple of 8.
fn roots(size: usize) -> Vec<[f64; 2]> {
    let eighth = size / 8;
    let first: Vec<[f64; 2]> = (0..=eighth)
        .map(|j| {
            let angle = std::f64::consts::TAU * j as f64 / size as f64;
            [libm::cos(angle), libm::sin(angle)]
        })
        .collect();
    let root = |j: usize| {
        let (octant, rest) = (j / eighth, j % eighth);
        let [cos, sin] = if octant % 2 == 0 { first[rest] } else { first[eighth - rest] };
        match octant {
            0 => [cos, -sin],
            1 => [sin, -cos],
            2 => [-sin, -cos],
            3 => [-cos, -sin],
            4 => [-cos, sin],
            5 => [-sin, cos],
            6 => [sin, cos],
            _ => [cos, sin],
        }
    };
    (0..size).map(root).collect()
}

impl Steps {
    /// For transforms of this many points, of which so many are asked for on the way back.
    fn new(size: usize, places: usize) -> Self {
        let roots = roots(size);
        // e^(−2πi·jk/length) for the j of a register.
        let turns = |j: usize, k: usize, length: usize| -> Point {
            let root = |lane: usize| roots[(j + lane) * k % length * (size / length)];
            [0, 1].map(|part| Eight(std::array::from_fn(|lane| root(lane)[part])))
        };
        let step = |length: usize| {
            let radix = (length / LEAF).min(8);
            let registers = (0..length / radix).step_by(LANES);
            let turns =
                registers.flat_map(|j| (1..radix).map(move |k| (j, k))).map(|(j, k)| turns(j, k, length));
            Step { radix, length, turns: turns.collect() }
        };
        let first = step(size);
        let mut inner = Vec::new();
        let mut length = size / first.radix;
        while length > LEAF {
            inner.push(step(length));
            length /= inner[inner.len() - 1].radix;
        }
        let registers = (0..places).step_by(LANES);
        let back = registers.flat_map(|n| (0..first.radix).map(move |k| (n, k)));
        let back = back.map(|(n, k)| turns(n, k, size)).collect();
        Self { size, first, inner, leaf: std::array::from_fn(|k| turns(0, k, LEAF)), back }
    }

    /// Of a transform.
    fn registers(&self) -> usize {
        self.size / LANES
    }
}

/// The first signal, by its spectra.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spectra {
    points: usize,
    reach: usize,
    /// Half the points, in registers.
    half: usize,
    /// Points of a block, in registers.
    block: usize,
    /// How long before its block a stretch begins, in registers: the reach, or a little more.
    front: usize,
    steps: Steps,
    /// Of each block, conjugate and divided by the size, in the leaves' order.
    blocks: Vec<Vec<Point>>,
}

/// The size that takes the fewest operations, for this many points, with the lags beside a block.
fn size_for(half: usize, lags: usize) -> usize {
    let least = (lags + LANES).next_power_of_two().max(LEAST);
    let most = (half + lags).next_power_of_two().max(least);
    let work = |size: usize| {
        let blocks = half.div_ceil((size - lags) / LANES * LANES);
        // A transform for each block and one back, and a product for each block, where a multiplication and an addition of registers take as long as half a step of a transform.
        (blocks + 1) * size * size.ilog2() as usize + blocks * size * 2
    };
    let sizes = std::iter::successors(Some(least), |size| (*size < most).then_some(2 * size));
    sizes.min_by_key(|size| work(*size)).unwrap_or(most)
}

impl Spectra {
    /// For lags from −`reach` to `reach`.
    pub(super) fn new(values: &[f64], reach: usize) -> Self {
        let isa = Isa::detect();
        let half = values.len().div_ceil(2).max(1).next_multiple_of(LANES);
        let front = reach.next_multiple_of(LANES);
        let size = size_for(half, front + reach);
        let block = (size - front - reach) / LANES * LANES;
        let steps = Steps::new(size, front + reach + 1);
        let scale = 1.0 / size as f64;
        // Some of the points, then zeros.
        let padded = |from: usize, to: usize| -> Vec<Eight> {
            let values = &values[from.min(values.len())..to.min(values.len())];
            let mut registers = vec![Eight::default(); steps.registers()];
            for (register, values) in registers.iter_mut().zip(values.chunks(LANES)) {
                register.0[..values.len()].copy_from_slice(values);
            }
            registers
        };
        let blocks = (0..half).step_by(block).map(|start| {
            let end = half.min(start + block);
            let (real, imaginary) = (padded(start, end), padded(start + half, end + half));
            let mut spectrum = vec![NOTHING; steps.registers()];
            spectrum_of(isa, &steps, &real, &imaginary, &mut spectrum);
            for [re, im] in &mut spectrum {
                (re.0, im.0) = (re.0.map(|re| re * scale), im.0.map(|im| -im * scale));
            }
            spectrum
        });
        let blocks = blocks.collect();
        let [half, block, front] = [half, block, front].map(|points| points / LANES);
        Self { points: values.len(), reach, half, block, front, steps, blocks }
    }

    /// Whether it is for these lags.
    pub(super) fn is_for(&self, reach: usize) -> bool {
        self.reach == reach
    }
}

/// Memory for second signals.
#[derive(Debug)]
pub(super) struct Bench {
    /// The second signal, with zeros around it.
    padded: Vec<Eight>,
    /// A stretch's transform.
    work: Vec<Point>,
    /// The sum of products.
    total: Vec<Point>,
    sums: Vec<Eight>,
}

impl Bench {
    pub(super) fn new(spectra: &Spectra) -> Self {
        let registers = spectra.steps.registers();
        let last = (spectra.blocks.len() - 1) * spectra.block + registers + spectra.half;
        let padded = last.max(spectra.front + spectra.points.div_ceil(LANES));
        Self {
            padded: vec![Eight::default(); padded],
            work: vec![NOTHING; registers],
            total: vec![NOTHING; registers],
            sums: vec![Eight::default(); spectra.steps.back.len() / spectra.steps.first.radix],
        }
    }

    /// Where the second signal goes, with zeros after its end. What stands there is that of the last time.
    pub(super) fn places(&mut self, spectra: &Spectra) -> &mut [Eight] {
        &mut self.padded[spectra.front..][..spectra.points.div_ceil(LANES)]
    }

    /// The sums of all lags. Meanwhile the signal that is looked at next is fetched from memory.
    pub(super) fn sums(&mut self, isa: Isa, spectra: &Spectra, next: &[f64], lags: &mut [f64]) {
        let Self { padded, work, total, sums } = self;
        sums_of(isa, spectra, padded, next, work, total, sums);
        let before = spectra.front * LANES - spectra.reach;
        let (first, others) = sums.split_at(1);
        let (head, tail) = lags.split_at_mut(lags.len().min(LANES - before));
        head.copy_from_slice(&first[0].0[before..][..head.len()]);
        for (to, from) in tail.chunks_mut(LANES).zip(others) {
            to.copy_from_slice(&from.0[..to.len()]);
        }
    }
}

vector_kernel! {
    /// The transform of a stretch, in the leaves' order.
    fn spectrum_of<V>(steps: &Steps, real: &[Eight], imaginary: &[Eight], work: &mut [Point]) {
        to_leaves::<V>(steps, real, imaginary, work);
        for points in work.as_chunks_mut::<LANES>().0 {
            store(leaf::<V>(&steps.leaf, load(points)), points);
        }
    }
}

vector_kernel! {
    /// Of a padded signal.
    fn sums_of<V>(
        spectra: &Spectra,
        padded: &[Eight],
        next: &[f64],
        work: &mut [Point],
        total: &mut [Point],
        sums: &mut [Eight],
    ) {
        let Spectra { half, block, steps, blocks, .. } = spectra;
        let registers = steps.registers();
        let mut fetched = next.chunks(next.len().div_ceil(blocks.len() * registers / LANES).max(1));
        total.fill(NOTHING);
        for (number, spectrum) in blocks.iter().enumerate() {
            let real = &padded[number * block..][..registers];
            let imaginary = &padded[number * block + half..][..registers];
            to_leaves::<V>(steps, real, imaginary, work);
            let leaves = work.as_chunks::<LANES>().0.iter().zip(spectrum.as_chunks::<LANES>().0);
            for ((work, spectrum), total) in leaves.zip(total.as_chunks_mut::<LANES>().0) {
                prefetch(fetched.next().unwrap_or_default());
                let points = leaf::<V>(&steps.leaf, load(work));
                for k in 0..LANES {
                    let product = points[k].times(Complex::load(&spectrum[k]));
                    (Complex::load(&total[k]) + product).store(&mut total[k]);
                }
            }
        }
        for leaf in total.as_chunks_mut::<LANES>().0 {
            store(leaf_back::<V>(&steps.leaf, load(leaf)), leaf);
        }
        for step in steps.inner.iter().rev() {
            for stretch in total.chunks_exact_mut(step.length / LANES) {
                match step.radix {
                    2 => inner_step_back::<V, 2>(step, stretch),
                    4 => inner_step_back::<V, 4>(step, stretch),
                    _ => inner_step_back::<V, 8>(step, stretch),
                }
            }
        }
        match steps.first.radix {
            2 => last_step_back::<V, 2>(steps, total, sums),
            4 => last_step_back::<V, 4>(steps, total, sums),
            _ => last_step_back::<V, 8>(steps, total, sums),
        }
    }
}

/// All steps before the leaves.
#[inline(always)]
fn to_leaves<V: Vector>(steps: &Steps, real: &[Eight], imaginary: &[Eight], work: &mut [Point]) {
    match steps.first.radix {
        2 => first_step::<V, 2>(&steps.first, real, imaginary, work),
        4 => first_step::<V, 4>(&steps.first, real, imaginary, work),
        _ => first_step::<V, 8>(&steps.first, real, imaginary, work),
    }
    for step in &steps.inner {
        for stretch in work.chunks_exact_mut(step.length / LANES) {
            match step.radix {
                2 => inner_step::<V, 2>(step, stretch),
                4 => inner_step::<V, 4>(step, stretch),
                _ => inner_step::<V, 8>(step, stretch),
            }
        }
    }
}

/// One butterfly of a step, to where the next step finds it.
#[inline(always)]
fn step_on<V: Vector, const R: usize>(
    points: [Complex<V>; R],
    turns: &[Point],
    work: &mut [&mut [Point]; R],
    j: usize,
) {
    let points = butterfly(points);
    points[0].store(&mut work[0][j]);
    for k in 1..R {
        points[k].times(Complex::load(&turns[k - 1])).store(&mut work[k][j]);
    }
}

/// From the signal.
#[inline(always)]
fn first_step<V: Vector, const R: usize>(
    step: &Step,
    real: &[Eight],
    imaginary: &[Eight],
    work: &mut [Point],
) {
    let (real, imaginary) = (parts::<_, R>(real), parts::<_, R>(imaginary));
    let mut work = parts_mut::<_, R>(work);
    for (j, turns) in step.turns.chunks_exact(R - 1).enumerate() {
        let mut points = [Complex::<V>::zero(); R];
        for k in 0..R {
            points[k] = Complex { re: V::load(&real[k][j].0), im: V::load(&imaginary[k][j].0) };
        }
        step_on(points, turns, &mut work, j);
    }
}

#[inline(always)]
fn inner_step<V: Vector, const R: usize>(step: &Step, stretch: &mut [Point]) {
    let mut work = parts_mut::<_, R>(stretch);
    for (j, turns) in step.turns.chunks_exact(R - 1).enumerate() {
        let mut points = [Complex::<V>::zero(); R];
        for k in 0..R {
            points[k] = Complex::load(&work[k][j]);
        }
        step_on(points, turns, &mut work, j);
    }
}

#[inline(always)]
fn inner_step_back<V: Vector, const R: usize>(step: &Step, stretch: &mut [Point]) {
    let work = parts_mut::<_, R>(stretch);
    for (j, turns) in step.turns.chunks_exact(R - 1).enumerate() {
        let mut points = [Complex::<V>::load(&work[0][j]); R];
        for k in 1..R {
            points[k] = Complex::load(&work[k][j]).times_back(Complex::load(&turns[k - 1]));
        }
        let points = butterfly_back(points);
        for k in 0..R {
            points[k].store(&mut work[k][j]);
        }
    }
}

/// The first step undone, at the first places only, without the imaginary parts.
#[inline(always)]
fn last_step_back<V: Vector, const R: usize>(steps: &Steps, total: &[Point], sums: &mut [Eight]) {
    let part = total.len() / R;
    let total = parts::<_, R>(total);
    for (sums, turns) in sums.chunks_mut(part).zip(steps.back.as_chunks::<R>().0.chunks(part)) {
        for (place, (sum, turns)) in sums.iter_mut().zip(turns).enumerate() {
            let mut all = V::splat(0.0);
            for k in 0..R {
                let (point, turn) = (Complex::<V>::load(&total[k][place]), Complex::<V>::load(&turns[k]));
                all = all + (point.re * turn.re + point.im * turn.im);
            }
            all.store(&mut sum.0);
        }
    }
}

/// The transform of 64 points, eight registers of eight. Of what comes out a register holds frequencies eight apart.
#[inline(always)]
fn leaf<V: Vector>(turns: &[Point; LANES], points: [Complex<V>; LANES]) -> [Complex<V>; LANES] {
    let mut points = butterfly(points);
    for k in 1..LANES {
        points[k] = points[k].times(Complex::load(&turns[k]));
    }
    butterfly(transpose(points))
}

#[inline(always)]
fn leaf_back<V: Vector>(turns: &[Point; LANES], points: [Complex<V>; LANES]) -> [Complex<V>; LANES] {
    let mut points = transpose(butterfly_back(points));
    for k in 1..LANES {
        points[k] = points[k].times_back(Complex::load(&turns[k]));
    }
    butterfly_back(points)
}

/// A transform of R points, in order.
#[inline(always)]
fn butterfly<V: Vector, const R: usize>(points: [Complex<V>; R]) -> [Complex<V>; R] {
    let mut found = points;
    let p = points;
    match R {
        2 => (found[0], found[1]) = halves(p[0], p[1]),
        4 => [found[0], found[1], found[2], found[3]] = quarters([p[0], p[1], p[2], p[3]]),
        _ => {
            [found[0], found[1], found[2], found[3], found[4], found[5], found[6], found[7]] =
                eighths([p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]]);
        }
    }
    found
}

/// The same with turns the other way: its outcomes in the other order.
#[inline(always)]
fn butterfly_back<V: Vector, const R: usize>(points: [Complex<V>; R]) -> [Complex<V>; R] {
    let there = butterfly(points);
    let mut back = there;
    for k in 1..R {
        back[k] = there[R - k];
    }
    back
}

#[inline(always)]
fn halves<V: Vector>(a: Complex<V>, b: Complex<V>) -> (Complex<V>, Complex<V>) {
    (a + b, a - b)
}

/// a − i·b and a + i·b.
#[inline(always)]
fn turned_halves<V: Vector>(a: Complex<V>, b: Complex<V>) -> (Complex<V>, Complex<V>) {
    (Complex { re: a.re + b.im, im: a.im - b.re }, Complex { re: a.re - b.im, im: a.im + b.re })
}

#[inline(always)]
fn quarters<V: Vector>([a, b, c, d]: [Complex<V>; 4]) -> [Complex<V>; 4] {
    let ((even, even_less), (odd, odd_less)) = (halves(a, c), halves(b, d));
    let ((zero, two), (one, three)) = (halves(even, odd), turned_halves(even_less, odd_less));
    [zero, one, two, three]
}

#[inline(always)]
fn eighths<V: Vector>([a, b, c, d, e, f, g, h]: [Complex<V>; 8]) -> [Complex<V>; 8] {
    let even = quarters([a, c, e, g]);
    let odd = quarters([b, d, f, h]);
    let (zero, four) = halves(even[0], odd[0]);
    let (one, five) = halves(even[1], odd[1].eighth_turn());
    let (two, six) = turned_halves(even[2], odd[2]);
    let (three, seven) = turned_halves(even[3], odd[3].eighth_turn());
    [zero, one, two, three, four, five, six, seven]
}

#[inline(always)]
fn transpose<V: Vector>(points: [Complex<V>; LANES]) -> [Complex<V>; LANES] {
    let (mut re, mut im) = ([points[0].re; LANES], [points[0].im; LANES]);
    for k in 1..LANES {
        (re[k], im[k]) = (points[k].re, points[k].im);
    }
    let (re, im) = (V::transpose(re), V::transpose(im));
    let mut columns = points;
    for k in 0..LANES {
        columns[k] = Complex { re: re[k], im: im[k] };
    }
    columns
}

#[inline(always)]
fn load<V: Vector>(points: &[Point; LANES]) -> [Complex<V>; LANES] {
    let mut loaded = [Complex::<V>::zero(); LANES];
    for k in 0..LANES {
        loaded[k] = Complex::load(&points[k]);
    }
    loaded
}

#[inline(always)]
fn store<V: Vector>(points: [Complex<V>; LANES], to: &mut [Point; LANES]) {
    for k in 0..LANES {
        points[k].store(&mut to[k]);
    }
}

/// R parts of one length.
#[inline(always)]
fn parts<T, const R: usize>(slice: &[T]) -> [&[T]; R] {
    let length = slice.len() / R;
    std::array::from_fn(|part| &slice[part * length..][..length])
}

#[inline(always)]
fn parts_mut<T, const R: usize>(slice: &mut [T]) -> [&mut [T]; R] {
    let length = slice.len() / R;
    let mut rest = slice;
    std::array::from_fn(|_| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(length);
        rest = others;
        part
    })
}

/// Points in registers.
#[derive(Clone, Copy)]
struct Complex<V> {
    re: V,
    im: V,
}

impl<V: Vector> Complex<V> {
    #[inline(always)]
    fn zero() -> Self {
        Self { re: V::splat(0.0), im: V::splat(0.0) }
    }

    #[inline(always)]
    fn load([re, im]: &Point) -> Self {
        Self { re: V::load(&re.0), im: V::load(&im.0) }
    }

    #[inline(always)]
    fn store(self, [re, im]: &mut Point) {
        self.re.store(&mut re.0);
        self.im.store(&mut im.0);
    }

    #[inline(always)]
    fn times(self, by: Self) -> Self {
        Self { re: self.re * by.re - self.im * by.im, im: self.im * by.re + self.re * by.im }
    }

    /// By the conjugate.
    #[inline(always)]
    fn times_back(self, by: Self) -> Self {
        Self { re: self.re * by.re + self.im * by.im, im: self.im * by.re - self.re * by.im }
    }

    /// By (1 − i)/√2.
    #[inline(always)]
    fn eighth_turn(self) -> Self {
        let half = V::splat(std::f64::consts::FRAC_1_SQRT_2);
        Self { re: (self.re + self.im) * half, im: (self.im - self.re) * half }
    }
}

impl<V: Vector> Add for Complex<V> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl<V: Vector> Sub for Complex<V> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}
