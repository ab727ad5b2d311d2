//! A frame boiled down to what tells one shot from another, and the distance of two such signatures.
//!
//! A signature is four small grids: in each cell of the picture the mean luma, the luma texture (mean absolute
//! difference of horizontal neighbours), and the mean of each chroma plane, all in eight-bit units whatever the depth.
//!
//! The distance is made blind to motion. A cell of one frame is not compared with the same cell of the other but with
//! the *interval* of values in the 3x3 cells around it: what moved by up to a cell is still inside the interval and
//! counts nothing. Only values that the neighbourhood did not have before count, by how far they lie outside.

use crate::{Format, Frame, Pixels, Plane, Sample};

/// Cells across and down. Coarse enough that a cell averages grain away and that motion of a fortieth of the picture
/// per frame is inside the interval, fine enough that two layouts of the same colours differ.
const ACROSS: usize = 40;
const DOWN: usize = 24;
/// Rows of a plane read per cell at most; more rows cost time and change the mean of a cell by less than grain does.
const ROWS_PER_CELL: usize = 12;

/// One grid: a value per cell, and the least and greatest of the 3x3 cells around it.
#[derive(Clone, Debug)]
struct Grid {
    cells: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
}

/// The grids of a frame: luma, texture, and for pictures with colour the two chroma planes.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    grids: Vec<Grid>,
}

impl Signature {
    pub(crate) fn of(frame: &Frame) -> Self {
        let format = frame.format();
        let cells = match frame.pixels() {
            Pixels::Eight(planes) => plane_cells(planes, format),
            Pixels::Deep(planes) => plane_cells(planes, format),
        };
        Self { grids: cells.into_iter().map(Grid::new).collect() }
    }

    /// How much of either frame the other cannot explain, in eight-bit levels per cell, summed over the grids.
    pub(crate) fn distance(&self, other: &Self) -> f32 {
        self.grids.iter().zip(&other.grids).map(|(a, b)| f32::midpoint(a.outside(b), b.outside(a))).sum()
    }
}

impl Grid {
    fn new(cells: Vec<f32>) -> Self {
        let low = spread(&cells, f32::min);
        let high = spread(&cells, f32::max);
        Self { cells, low, high }
    }

    /// The mean over cells of how far this grid's values lie outside the other's intervals.
    fn outside(&self, other: &Self) -> f32 {
        let intervals = other.low.iter().zip(&other.high);
        let total: f32 = self
            .cells
            .iter()
            .zip(intervals)
            .map(|(&value, (&low, &high))| (low - value).max(0.0) + (value - high).max(0.0))
            .sum();
        total / self.cells.len() as f32
    }
}

/// Each cell replaced by `pick` over itself and its eight neighbours.
fn spread(cells: &[f32], pick: fn(f32, f32) -> f32) -> Vec<f32> {
    let mut across = cells.to_vec();
    for (row, out) in cells.chunks_exact(ACROSS).zip(across.chunks_exact_mut(ACROSS)) {
        for x in 0..ACROSS {
            out[x] = pick(pick(row[x.saturating_sub(1)], row[x]), row[(x + 1).min(ACROSS - 1)]);
        }
    }
    let mut both = across.clone();
    for y in 0..DOWN {
        for x in 0..ACROSS {
            let (above, below) = (y.saturating_sub(1), (y + 1).min(DOWN - 1));
            both[y * ACROSS + x] =
                pick(pick(across[above * ACROSS + x], across[y * ACROSS + x]), across[below * ACROSS + x]);
        }
    }
    both
}

/// The mean luma of each cell, in eight-bit levels.
pub(crate) fn luma_means(frame: &Frame) -> Vec<f32> {
    let scale = 255.0 / f32::from(frame.format().depth().peak());
    match frame.pixels() {
        Pixels::Eight(planes) => cell_means(&planes[0], scale, sum),
        Pixels::Deep(planes) => cell_means(&planes[0], scale, sum),
    }
}

fn plane_cells<S: Sample>(planes: &[Plane<S>], format: Format) -> Vec<Vec<f32>> {
    let scale = 255.0 / f32::from(format.depth().peak());
    let mut grids = vec![cell_means(&planes[0], scale, sum), cell_means(&planes[0], scale, texture)];
    grids.extend(planes[1..].iter().map(|plane| cell_means(plane, scale, sum)));
    grids
}

/// The mean per cell of a statistic that `row_total` sums over a run of a row's samples.
fn cell_means<S: Sample>(plane: &Plane<S>, scale: f32, row_total: fn(&[S]) -> u64) -> Vec<f32> {
    // A plane smaller than the grid gives several cells the same samples.
    let span = |index: usize, cells: usize, length: usize| {
        let start = index * length / cells;
        start..((index + 1) * length / cells).max(start + 1)
    };
    let mut cells = Vec::with_capacity(ACROSS * DOWN);
    for cell_row in 0..DOWN {
        let rows = span(cell_row, DOWN, plane.height());
        let step = rows.len().div_ceil(ROWS_PER_CELL);
        let mut totals = [0_u64; ACROSS];
        let mut rows_read = 0_usize;
        for y in rows.step_by(step) {
            let row = plane.row(y);
            for (index, total) in totals.iter_mut().enumerate() {
                *total += row_total(&row[span(index, ACROSS, row.len())]);
            }
            rows_read += 1;
        }
        let samples = |index: usize| (span(index, ACROSS, plane.width()).len() * rows_read) as f32;
        cells.extend(totals.iter().enumerate().map(|(index, &total)| total as f32 * scale / samples(index)));
    }
    cells
}

fn sum<S: Sample>(samples: &[S]) -> u64 {
    samples.iter().map(|&sample| u64::from(sample.into())).sum()
}

fn texture<S: Sample>(samples: &[S]) -> u64 {
    samples.windows(2).map(|pair| u64::from(pair[0].into().abs_diff(pair[1].into()))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BitDepth, Subsampling};

    fn picture(format: Format, value: impl FnMut(usize, usize, usize) -> u16) -> Signature {
        let mut frame = Frame::black(format);
        frame.fill(value);
        Signature::of(&frame)
    }

    #[test]
    fn motion_within_a_cell_is_no_distance_and_new_content_is() {
        let format = Format::new(320, 192, Subsampling::C420, BitDepth::EIGHT).unwrap();
        let square = |left: usize| {
            picture(format, move |_, x, y| if (left..left + 64).contains(&x) && y > 64 { 200 } else { 40 })
        };
        let still = square(100);
        assert_eq!(still.distance(&still), 0.0);
        let moved = still.distance(&square(104));
        let elsewhere = still.distance(&square(220));
        assert!(moved * 20.0 < elsewhere, "moved {moved}, elsewhere {elsewhere}");
    }

    #[test]
    fn depth_does_not_change_the_scale() {
        let eight = Format::new(64, 48, Subsampling::C444, BitDepth::EIGHT).unwrap();
        let twelve = Format::new(64, 48, Subsampling::C444, BitDepth::TWELVE).unwrap();
        let in_eight = picture(eight, |_, _, _| 51).distance(&picture(eight, |_, _, _| 102));
        let in_twelve = picture(twelve, |_, _, _| 819).distance(&picture(twelve, |_, _, _| 1638));
        assert!(
            (in_eight - 153.0).abs() < 1e-3 && (in_twelve - 153.0).abs() < 1e-3,
            "{in_eight} {in_twelve}"
        );
    }

    #[test]
    fn the_smallest_picture_has_a_signature() {
        let format = Format::new(1, 1, Subsampling::Mono, BitDepth::EIGHT).unwrap();
        assert_eq!(picture(format, |_, _, _| 0).distance(&picture(format, |_, _, _| 10)), 10.0);
    }
}
