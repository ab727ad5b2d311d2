//! Sums of products over many lags, with 9/16 of the multiplications.
//!
//! `r(k) = Σ a(t)·x(t + k)` for all lags at once, with every second value apart (a₀, a₁ and x₀, x₁; x₀′ is x₀ one place on):
//!
//! ```text
//! r(2v)     = Σ a₀·x₀ + Σ a₁·x₁ = P + Σ a₀·(x₀ − x₁)       P = Σ (a₀ + a₁)·x₁
//! r(2v + 1) = Σ a₀·x₁ + Σ a₁·x₀′ = P + Σ a₁·(x₀′ − x₁)
//! ```
//!
//! Three sums over half the points and half the lags take the place of four (S. Winograd, Arithmetic Complexity of Computations, 1980; in filters, fast FIR algorithms). Done twice, nine take the place of
//! sixteen. What depends on the first signal alone is prepared once ([`Comb`]). Each of the nine is summed in the order of time, for any number of signals side by side, so the answer has the same bits
//! for one signal and for a table, on every instruction set and any number of threads.

use crate::isa::{Isa, kernel};

/// Values of signals side by side at one time.
pub(super) type Lane<const W: usize> = [f64; W];

/// Signals side by side in a table: one AVX-512 register.
pub(super) const TABLE: usize = 8;

/// The nine sums.
const LEAVES: usize = 9;

/// Lags that are summed at once: as many sums as keep the adders busy.
const GROUP: usize = 8;

/// The first signal, split twice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comb {
    points: usize,
    /// Lags of the whole, and of a leaf.
    lags: usize,
    leaf_lags: usize,
    /// Points of a leaf.
    leaf_points: usize,
    leaves: [Vec<f64>; LEAVES],
}

/// a₀ + a₁, a₀ and a₁.
fn halves(values: &[f64]) -> [Vec<f64>; 3] {
    let even: Vec<f64> = values.iter().step_by(2).copied().collect();
    let odd: Vec<f64> = values.iter().skip(1).step_by(2).copied().collect();
    let both = even.iter().zip(&odd).map(|(even, odd)| even + odd).collect();
    [both, even, odd]
}

impl Comb {
    /// For lags from −`reach` to `reach`.
    pub(super) fn new(values: &[f64], reach: usize) -> Self {
        let points = values.len();
        let lags = 2 * reach + 1;
        let leaf_points = points.div_ceil(4);
        let mut padded = values.to_vec();
        padded.resize(4 * leaf_points, 0.0);
        let mut leaves = halves(&padded).into_iter().flat_map(|half| halves(&half));
        let leaves = std::array::from_fn(|_| leaves.next().expect("invariant: three halves of three halves"));
        Self { points, lags, leaf_lags: lags.div_ceil(4).next_multiple_of(GROUP), leaf_points, leaves }
    }

    /// Places that a second signal takes: zeros for the lags before and after it, and what rounds up to whole groups.
    fn padded_points(&self) -> usize {
        4 * (self.leaf_points + self.leaf_lags + 1)
    }
}

/// Memory for the parts of second signals.
#[derive(Debug)]
pub(super) struct Bench<const W: usize> {
    /// The second signals, with zeros around them.
    padded: Vec<Lane<W>>,
    halves: [Vec<Lane<W>>; 3],
    leaf: [Vec<Lane<W>>; 3],
    sums: Vec<Lane<W>>,
}

impl<const W: usize> Bench<W> {
    pub(super) fn new() -> Self {
        Self {
            padded: Vec::new(),
            halves: std::array::from_fn(|_| Vec::new()),
            leaf: std::array::from_fn(|_| Vec::new()),
            sums: Vec::new(),
        }
    }

    /// Zeros where the second signals go, to be filled in.
    pub(super) fn clear(&mut self, comb: &Comb) -> &mut [Lane<W>] {
        let reach = comb.lags / 2;
        self.padded.clear();
        self.padded.resize(comb.padded_points(), [0.0; W]);
        &mut self.padded[reach..reach + comb.points]
    }

    /// The sums of all lags.
    pub(super) fn sums(&mut self, isa: Isa, comb: &Comb) -> &[Lane<W>] {
        let quarter = comb.leaf_lags;
        let half = 2 * quarter;
        self.sums.clear();
        self.sums.resize(LEAVES * quarter + 3 * half + 4 * quarter, [0.0; W]);
        split(&self.padded, &mut self.halves);
        for (k, half) in self.halves.iter().enumerate() {
            split(half, &mut self.leaf);
            for (j, leaf) in self.leaf.iter().enumerate() {
                let number = 3 * k + j;
                let sums = &mut self.sums[number * quarter..(number + 1) * quarter];
                follow::<W>(isa, &comb.leaves[number], leaf, sums);
            }
        }
        let (leaves, rest) = self.sums.split_at_mut(LEAVES * quarter);
        let (middle, whole) = rest.split_at_mut(3 * half);
        for k in 0..3 {
            let parts = &leaves[3 * k * quarter..3 * (k + 1) * quarter];
            join(parts, &mut middle[k * half..(k + 1) * half]);
        }
        join(middle, whole);
        &whole[..comb.lags]
    }
}

/// x₁, x₀ − x₁ and x₀′ − x₁.
fn split<const W: usize>(whole: &[Lane<W>], parts: &mut [Vec<Lane<W>>; 3]) {
    let [odd, before, after] = parts;
    let (pairs, _) = whole.as_chunks::<2>();
    let less = |a: &Lane<W>, b: &Lane<W>| -> Lane<W> { std::array::from_fn(|lane| a[lane] - b[lane]) };
    odd.clear();
    before.clear();
    after.clear();
    odd.extend(pairs.iter().map(|[_, odd]| *odd));
    before.extend(pairs.iter().map(|[even, odd]| less(even, odd)));
    let next = pairs.iter().skip(1).map(|[even, _]| even);
    after.extend(pairs.iter().zip(next).map(|([_, odd], next)| less(next, odd)));
}

/// r from P and the two others.
fn join<const W: usize>(parts: &[Lane<W>], whole: &mut [Lane<W>]) {
    let third = parts.len() / 3;
    let (both, rest) = parts.split_at(third);
    let (before, after) = rest.split_at(third);
    let (pairs, _) = whole.as_chunks_mut::<2>();
    for (((pair, both), before), after) in pairs.iter_mut().zip(both).zip(before).zip(after) {
        for lane in 0..W {
            pair[0][lane] = both[lane] + before[lane];
            pair[1][lane] = both[lane] + after[lane];
        }
    }
}

kernel! {
    /// `sums[k] = Σ a(t)·x(t + k)`, each in the order of time.
    fn follow[const W: usize][W](a: &[f64], x: &[Lane<W>], sums: &mut [Lane<W>]) {
        let (groups, _) = sums.as_chunks_mut::<GROUP>();
        for (number, group) in groups.iter_mut().enumerate() {
            let mut totals = [[0.0; W]; GROUP];
            for (factor, values) in a.iter().zip(x[number * GROUP..].windows(GROUP)) {
                for (total, value) in totals.iter_mut().zip(values) {
                    for lane in 0..W {
                        total[lane] += factor * value[lane];
                    }
                }
            }
            *group = totals;
        }
    }
}
