//! Regular grids in time, and series on them.

use crate::Tags;

/// Points in time at a regular distance. Times are milliseconds since 1970 UTC; a point stands for the step that *ends* there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// The first point.
    pub start: i64,
    /// The distance of points, at least 1.
    pub step: i64,
    /// How many points.
    pub len: usize,
}

impl Grid {
    /// A grid of `len` points from `start`. A step below one millisecond is read as one.
    pub fn new(start: i64, step: i64, len: usize) -> Self {
        Self { start, step: step.max(1), len }
    }

    /// The point at this position.
    pub fn time(&self, index: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(index as i64))
    }

    /// All points.
    pub fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let grid = *self;
        (0..grid.len).map(move |index| grid.time(index))
    }

    /// The position of a point of the grid; `None` for times between points or outside.
    pub fn index_of(&self, time: i64) -> Option<usize> {
        let distance = time.checked_sub(self.start)?;
        let index = usize::try_from(distance / self.step).ok()?;
        (distance >= 0 && distance % self.step == 0 && index < self.len).then_some(index)
    }

    /// The end of the last step, which is the last point; the start less a step if there is none.
    pub fn last(&self) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(self.len as i64 - 1))
    }

    /// The same grid this many milliseconds earlier.
    pub fn earlier(&self, by: i64) -> Self {
        Self { start: self.start.saturating_sub(by), ..*self }
    }

    /// The finer grid under this one: `multiple` points for each of ours, the last of them on our point.
    pub fn refined(&self, multiple: usize) -> Self {
        let step = self.step / multiple.max(1) as i64;
        Self::new(self.start - self.step + step, step, self.len * multiple)
    }
}

/// Tags and a value for each point of some grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What it measures.
    pub tags: Tags,
    /// The values; NaN where there is none.
    pub values: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_positions_and_other_times_have_none() {
        let grid = Grid::new(120, 60, 3);
        assert_eq!(grid.times().collect::<Vec<_>>(), [120, 180, 240]);
        assert_eq!(
            [60, 120, 150, 240, 300].map(|time| grid.index_of(time)),
            [None, Some(0), None, Some(2), None]
        );
        assert_eq!(Grid::new(i64::MIN, 1, 1).index_of(i64::MAX), None);
    }

    #[test]
    fn a_refined_grid_ends_each_wider_step() {
        let fine = Grid::new(120, 60, 2).refined(3);
        assert_eq!(fine.times().collect::<Vec<_>>(), [80, 100, 120, 140, 160, 180]);
    }
}
