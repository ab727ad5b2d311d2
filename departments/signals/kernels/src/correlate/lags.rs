//! Sums of products over many lags, with a third of the multiplications.
//!
//! `r(k) = Σ a(t)·x(t + k)` for all lags at once, with every second value apart (a₀, a₁ and x₀, x₁; x₀′ is x₀ one place on):
//!
//! ```text
//! r(2v)     = Σ a₀·x₀ + Σ a₁·x₁ = P + Σ a₀·(x₀ − x₁)       P = Σ (a₀ + a₁)·x₁
//! r(2v + 1) = Σ a₀·x₁ + Σ a₁·x₀′ = P + Σ a₁·(x₀′ − x₁)
//! ```
//!
//! Three sums over half the points and half the lags take the place of four (S. Winograd, Arithmetic Complexity of Computations, 1980; in filters, fast FIR algorithms), and again for each of the three, until few
//! lags are left: for 121 lags four times, which leaves 81 sums in place of 256. What depends on the first signal alone is prepared once ([`Comb`]). Each sum is taken in the order of time, for any number of
//! signals side by side, so the answer has the same bits for one signal and for a table, on every instruction set and any number of threads.

use crate::isa::{Isa, kernel};

/// Values of signals side by side at one time.
pub(super) type Lane<const W: usize> = [f64; W];

/// Signals side by side in a table: one AVX2 register, so that the sums of [`GROUP`] lags stay in registers.
pub(super) const TABLE: usize = 4;

/// Lags that are summed at once: as many sums as keep the adders busy.
const GROUP: usize = 8;

/// Halvings at most: each adds as many additions as the one before saves fewer multiplications.
const DEEPEST: usize = 4;

/// The first signal, split.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comb {
    points: usize,
    lags: usize,
    depth: usize,
    /// Lags and points of a leaf.
    leaf_lags: usize,
    leaf_points: usize,
    /// The parts that are left after all halvings, in the order in which they are met.
    leaves: Vec<f64>,
}

/// Every part's a₀ + a₁, a₀ and a₁ in its place. Parts are `points` long.
fn split(parts: &[f64], points: usize) -> Vec<f64> {
    let mut split = Vec::with_capacity(parts.len() / 2 * 3);
    for part in parts.chunks_exact(points) {
        let pairs = part.as_chunks::<2>().0;
        split.extend(pairs.iter().map(|[even, odd]| even + odd));
        split.extend(pairs.iter().map(|[even, _]| even));
        split.extend(pairs.iter().map(|[_, odd]| odd));
    }
    split
}

impl Comb {
    /// For lags from −`reach` to `reach`.
    pub(super) fn new(values: &[f64], reach: usize) -> Self {
        let points = values.len();
        let lags = 2 * reach + 1;
        let is_worth = |depth: &usize| lags.div_ceil(1 << depth) >= GROUP && points >> depth >= GROUP;
        let depth = (1..=DEEPEST).take_while(is_worth).last().unwrap_or(0);
        let leaf_points = points.div_ceil(1 << depth);
        let leaf_lags = lags.div_ceil(1 << depth).next_multiple_of(GROUP);
        let mut leaves = values.to_vec();
        leaves.resize(leaf_points << depth, 0.0);
        for level in (1..=depth).rev() {
            leaves = split(&leaves, leaf_points << level);
        }
        Self { points, lags, depth, leaf_lags, leaf_points, leaves }
    }

    /// Whether it is for these lags.
    pub(super) fn is_for(&self, reach: usize) -> bool {
        self.lags == 2 * reach + 1
    }
}

/// Memory for the parts of second signals.
#[derive(Debug)]
pub(super) struct Bench<const W: usize> {
    /// The second signals, with zeros around them.
    padded: Vec<Lane<W>>,
    levels: Vec<Level<W>>,
    sums: Vec<Lane<W>>,
}

/// What one halving makes.
#[derive(Debug, Default)]
struct Level<const W: usize> {
    part: Vec<Lane<W>>,
    /// The sums of the three parts, one after another.
    sums: Vec<Lane<W>>,
}

impl<const W: usize> Bench<W> {
    pub(super) fn new(comb: &Comb) -> Self {
        let room = |halvings: usize| (comb.leaf_points + comb.leaf_lags) << (comb.depth - halvings);
        let level = |halvings: usize| Level {
            part: vec![[0.0; W]; room(halvings)],
            sums: vec![[0.0; W]; 3 * (comb.leaf_lags << (comb.depth - halvings))],
        };
        Self {
            padded: vec![[0.0; W]; room(0)],
            levels: (1..=comb.depth).map(level).collect(),
            sums: vec![[0.0; W]; comb.leaf_lags << comb.depth],
        }
    }

    /// Where the second signals go. What stands there is that of the last time.
    pub(super) fn places(&mut self, comb: &Comb) -> &mut [Lane<W>] {
        let reach = comb.lags / 2;
        &mut self.padded[reach..reach + comb.points]
    }

    /// The sums of all lags.
    pub(super) fn sums(&mut self, isa: Isa, comb: &Comb) -> &[Lane<W>] {
        let mut leaves = comb.leaves.chunks_exact(comb.leaf_points);
        halve(isa, &mut leaves, &self.padded, &mut self.levels, &mut self.sums);
        &self.sums[..comb.lags]
    }
}

/// The sums of one part, by its halves or, where there are none, directly.
fn halve<'a, const W: usize>(
    isa: Isa,
    leaves: &mut impl Iterator<Item = &'a [f64]>,
    x: &[Lane<W>],
    levels: &mut [Level<W>],
    sums: &mut [Lane<W>],
) {
    let Some((level, deeper)) = levels.split_first_mut() else {
        let leaf = leaves.next().expect("invariant: a leaf for each part");
        return follow::<W>(isa, leaf, x, sums);
    };
    let third = sums.len() / 2;
    for (number, child) in level.sums.chunks_exact_mut(third).enumerate() {
        match number {
            0 => odd::<W>(isa, x, &mut level.part),
            1 => before::<W>(isa, x, &mut level.part),
            _ => after::<W>(isa, x, &mut level.part),
        }
        halve(isa, leaves, &level.part, deeper, child);
    }
    join::<W>(isa, &level.sums, sums);
}

kernel! {
    /// x₁.
    fn odd[const W: usize][W](x: &[Lane<W>], part: &mut [Lane<W>]) {
        for (part, [_, odd]) in part.iter_mut().zip(x.as_chunks::<2>().0) {
            *part = *odd;
        }
    }
}

kernel! {
    /// x₀ − x₁.
    fn before[const W: usize][W](x: &[Lane<W>], part: &mut [Lane<W>]) {
        for (part, [even, odd]) in part.iter_mut().zip(x.as_chunks::<2>().0) {
            let mut less = [0.0; W];
            for lane in 0..W {
                less[lane] = even[lane] - odd[lane];
            }
            *part = less;
        }
    }
}

kernel! {
    /// x₀′ − x₁.
    fn after[const W: usize][W](x: &[Lane<W>], part: &mut [Lane<W>]) {
        let later = x.get(1..).unwrap_or_default();
        for (part, [odd, next]) in part.iter_mut().zip(later.as_chunks::<2>().0) {
            let mut less = [0.0; W];
            for lane in 0..W {
                less[lane] = next[lane] - odd[lane];
            }
            *part = less;
        }
    }
}

kernel! {
    /// r from P and the two others.
    fn join[const W: usize][W](parts: &[Lane<W>], whole: &mut [Lane<W>]) {
        let third = parts.len() / 3;
        let (both, rest) = parts.split_at(third);
        let (before, after) = rest.split_at(third);
        let pairs = whole.as_chunks_mut::<2>().0;
        for (((pair, both), before), after) in pairs.iter_mut().zip(both).zip(before).zip(after) {
            for lane in 0..W {
                pair[0][lane] = both[lane] + before[lane];
                pair[1][lane] = both[lane] + after[lane];
            }
        }
    }
}

kernel! {
    /// `sums[k] = Σ a(t)·x(t + k)`, each in the order of time.
    fn follow[const W: usize][W](a: &[f64], x: &[Lane<W>], sums: &mut [Lane<W>]) {
        for (number, group) in sums.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
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
