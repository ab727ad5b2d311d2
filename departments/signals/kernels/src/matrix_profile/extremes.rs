//! The most unlike and the most alike windows of a profile.

use super::Profile;

/// A window that is unlike all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Discord {
    /// Where it begins.
    pub at: usize,
    /// The distance to its nearest window.
    pub distance: f64,
    /// Where that begins.
    pub nearest: usize,
}

/// Two windows that are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motif {
    /// Where one of them begins.
    pub at: usize,
    /// Where the other does.
    pub other: usize,
    /// Their distance.
    pub distance: f64,
}

impl Profile {
    /// The `count` windows farthest from their nearest one, the farthest first, none within a window's length of another; fewer when there are no
    /// more. Of equally far ones the earlier. Windows without a neighbour are none.
    pub fn discords(&self, count: usize) -> Vec<Discord> {
        let mut order = self.order();
        order.sort_by(|&a, &b| self.distances[b].total_cmp(&self.distances[a]).then(a.cmp(&b)));
        let mut found: Vec<Discord> = Vec::new();
        for at in order {
            if found.len() == count {
                break;
            }
            let Some(nearest) = self.nearest[at] else { continue };
            if found.iter().all(|other| other.at.abs_diff(at) >= self.window) {
                found.push(Discord { at, distance: self.distances[at], nearest });
            }
        }
        found
    }

    /// The `count` pairs of windows nearest to each other, the nearest first; no window of a pair within a window's length of one of another pair.
    pub fn motifs(&self, count: usize) -> Vec<Motif> {
        let mut order = self.order();
        order.sort_by(|&a, &b| self.distances[a].total_cmp(&self.distances[b]).then(a.cmp(&b)));
        let mut found: Vec<Motif> = Vec::new();
        // In a join of two signals the other window is a place of the other signal.
        let is_apart = |a: usize, b: usize| a.abs_diff(b) >= self.window;
        let is_one_signal = !self.left.is_empty();
        for at in order {
            if found.len() == count {
                break;
            }
            let Some(other) = self.nearest[at] else { continue };
            let is_new = found.iter().all(|motif| {
                let same_side = is_apart(motif.at, at) && is_apart(motif.other, other);
                let crossed = is_apart(motif.at, other) && is_apart(motif.other, at);
                same_side && (crossed || !is_one_signal)
            });
            if is_new {
                found.push(Motif { at, other, distance: self.distances[at] });
            }
        }
        found
    }

    fn order(&self) -> Vec<usize> {
        (0..self.distances.len()).filter(|&at| self.nearest[at].is_some()).collect()
    }
}
