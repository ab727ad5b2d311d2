//! Bottom up: cut everywhere, then join the two neighbours that lose least (E. Keogh and others, An online algorithm for segmenting time series, 2001).

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Grid, Stop};
use crate::Error;
use crate::cost::Cost;

/// Two neighbours that may be joined.
struct Pair {
    loss: f64,
    start: usize,
    middle: usize,
    end: usize,
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pair {
    /// The least loss is the greatest pair; of equal ones the first in the signal.
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |pair: &Self| (pair.start, pair.middle, pair.end);
        other.loss.total_cmp(&self.loss).then_with(|| place(other).cmp(&place(self)))
    }
}

/// Joins greedily until `stop`: while there are more change points than asked for, while joining loses less than the penalty, or while
/// the sum of costs stays below the rest allowed.
///
/// # Errors
/// As [`super::binary`].
pub fn bottom_up(cost: &(impl Cost + ?Sized), grid: Grid, stop: Stop) -> Result<Vec<usize>, Error> {
    let points = cost.points();
    grid.admit(points, stop.changes())?;
    stop.check()?;
    let mut ends = leaves(points, grid);
    let mut rest = cost.sum(&ends);
    let pair = |start: usize, middle: usize, end: usize| {
        let whole = cost.error(start, end);
        // Infinitely good wholes lose nothing, whatever their parts are worth.
        let loss = if whole == f64::NEG_INFINITY {
            0.0
        } else {
            whole - cost.error(start, middle) - cost.error(middle, end)
        };
        Pair { loss, start, middle, end }
    };
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let mut heap: BinaryHeap<Pair> =
        starts.zip(ends.windows(2)).map(|(start, ends)| pair(start, ends[0], ends[1])).collect();
    while let Some(Pair { loss, start, middle, end }) = heap.pop() {
        // Pairs of segments that have been joined to others since are out of date.
        let Ok(index) = ends.binary_search(&middle) else { continue };
        let is_current =
            ends.get(index + 1) == Some(&end) && start == index.checked_sub(1).map_or(0, |left| ends[left]);
        if !is_current {
            continue;
        }
        let goes_on = match stop {
            Stop::Changes(changes) => ends.len() > changes + 1,
            Stop::Penalty(penalty) => loss < penalty,
            Stop::Rest(most) => rest < most,
        };
        if !goes_on {
            break;
        }
        rest += loss;
        ends.remove(index);
        if let Some(left) = index.checked_sub(1) {
            heap.push(pair(left.checked_sub(1).map_or(0, |left| ends[left]), start, end));
        }
        if let Some(&right) = ends.get(index + 1) {
            heap.push(pair(start, end, right));
        }
    }
    Ok(ends)
}

/// Halves the longest segment for as long as that can be done.
fn leaves(points: usize, grid: Grid) -> Vec<usize> {
    let mut heap = BinaryHeap::from([(points, std::cmp::Reverse(0), std::cmp::Reverse(points))]);
    let mut ends = Vec::new();
    while let Some((_, std::cmp::Reverse(start), std::cmp::Reverse(end))) = heap.pop() {
        let Some(middle) = middle(start, end, grid) else {
            ends.push(end);
            continue;
        };
        for (start, end) in [(start, middle), (middle, end)] {
            heap.push((end - start, std::cmp::Reverse(start), std::cmp::Reverse(end)));
        }
    }
    ends.sort_unstable();
    ends
}

/// The admissible cut nearest to the middle, the earlier of two.
fn middle(start: usize, end: usize, grid: Grid) -> Option<usize> {
    let first = (start + grid.min_size).div_ceil(grid.jump) * grid.jump;
    let last = end.checked_sub(grid.min_size)? / grid.jump * grid.jump;
    if first > last {
        return None;
    }
    let below = usize::midpoint(start, end) / grid.jump * grid.jump;
    let twice = start + end;
    let below = below.clamp(first, last);
    let above = (below + grid.jump).clamp(first, last);
    Some(if (2 * above).abs_diff(twice) < (2 * below).abs_diff(twice) { above } else { below })
}
