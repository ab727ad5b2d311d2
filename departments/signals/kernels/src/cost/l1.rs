//! Absolute distances from the median.
//!
//! The median of any segment comes from a wavelet matrix over the ranks of the values (F. Claude, G. Navarro, A. Ordóñez, The wavelet matrix, 2015): each level splits the values by
//! one bit of their rank and remembers how many went which way before each place, so the k-th smallest of a segment is found in one
//! step per bit. With sums of the values beside the counts, the sum below the median falls out of the same walk.

use super::Cost;
use crate::Signal;
use crate::sums::{Double, Sums};

/// Σ‖x−med‖₁ in time logarithmic in the length of the signal, for each dimension.
#[derive(Clone, Debug)]
pub struct L1 {
    points: usize,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    sorted: Vec<f64>,
    sums: Sums,
    levels: Vec<Level>,
}

/// One bit of the ranks, the highest first.
#[derive(Clone, Debug)]
struct Level {
    /// How many of the values before each place have a 0 here.
    zeros: Vec<u32>,
    /// The sum of those.
    zero_sums: Sums,
}

impl L1 {
    /// The shortest segment whose spread says anything.
    const MIN_SIZE: usize = 2;

    /// Prepares in time n·log n for each dimension.
    pub fn new(signal: &Signal) -> Self {
        let columns =
            (0..signal.dimensions()).map(|dimension| Column::new(signal.column(dimension).collect()));
        Self { points: signal.points(), columns: columns.collect() }
    }
}

impl Cost for L1 {
    fn points(&self) -> usize {
        self.points
    }

    fn min_size(&self) -> usize {
        Self::MIN_SIZE
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        self.columns.iter().map(|column| column.error(start, end)).sum()
    }
}

impl Column {
    fn new(values: Vec<f64>) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
        let mut ranks = vec![0_usize; values.len()];
        for (rank, &place) in order.iter().enumerate() {
            ranks[place] = rank;
        }
        let sorted: Vec<f64> = order.iter().map(|&place| values[place]).collect();
        let sums = Sums::of(values.iter().map(|&value| value.into()));
        let bits = usize::BITS - values.len().saturating_sub(1).leading_zeros();
        let mut levels = Vec::new();
        for bit in (0..bits).rev() {
            let is_zero = |rank: &usize| rank >> bit & 1 == 0;
            let mut zeros = vec![0];
            for rank in &ranks {
                zeros.push(zeros[zeros.len() - 1] + u32::from(is_zero(rank)));
            }
            let zero_sums = Sums::of(
                ranks.iter().map(|rank| if is_zero(rank) { sorted[*rank].into() } else { Double::default() }),
            );
            levels.push(Level { zeros, zero_sums });
            let (left, right): (Vec<usize>, Vec<usize>) = ranks.iter().partition(|rank| is_zero(rank));
            ranks = left;
            ranks.extend(right);
        }
        Self { sorted, sums, levels }
    }

    fn error(&self, start: usize, end: usize) -> f64 {
        let count = end - start;
        let half = count / 2;
        let (median, below) = self.select(start, end, half);
        // `half` values lie below the median (or are equal to it), the others at or above it.
        let above = self.sums.between(start, end).minus(below);
        let spread = above.minus(below).minus(Double::product((count - half) as f64 - half as f64, median));
        spread.value().max(0.0)
    }

    /// The value with `place` smaller ones in the segment, and the sum of those.
    fn select(&self, mut start: usize, mut end: usize, mut place: usize) -> (f64, Double) {
        let mut below = Double::default();
        let mut rank = 0;
        for level in &self.levels {
            let zeros_before = level.zeros[start] as usize;
            let zeros = level.zeros[end] as usize - zeros_before;
            rank <<= 1;
            if place < zeros {
                start = zeros_before;
                end = zeros_before + zeros;
            } else {
                below = below.plus(level.zero_sums.between(start, end));
                let all_zeros = level.zeros[level.zeros.len() - 1] as usize;
                let ones_before = start - zeros_before;
                let ones = end - start - zeros;
                place -= zeros;
                start = all_zeros + ones_before;
                end = start + ones;
                rank |= 1;
            }
        }
        (self.sorted[rank], below)
    }
}
