//! Fewer points, same picture.
//!
//! A line of 100,000 points on 800 pixels has 125 points in each pixel column. Of each run of points in one column, the
//! first, the lowest, the highest and the last draw the same pixels as all of them (the M4 aggregation of Jugel, Jerzak,
//! Hackenbroich and Markl, "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014), so only those four are
//! kept, in their order. Runs are of consecutive points, so a line that goes back and forth is served as well. Markers are
//! thinned likewise: of those of one look whose centres fall in the same quarter of a pixel one is drawn.

use std::collections::BTreeSet;

use super::geometry::Point;

/// Lines with fewer points than this are drawn as they are.
const FEW: usize = 2_000;

/// The points that draw the same line as `points`.
pub(crate) fn line(points: Vec<Point>) -> Vec<Point> {
    if points.len() < FEW {
        return points;
    }
    let mut kept = Vec::with_capacity(FEW);
    let mut start = 0;
    while start < points.len() {
        let column = points[start].0.floor();
        let length = points[start..].iter().take_while(|point| point.0.floor() == column).count();
        keep_extremes(&points[start..start + length], &mut kept);
        start += length;
    }
    kept
}

fn keep_extremes(run: &[Point], kept: &mut Vec<Point>) {
    let (mut highest, mut lowest) = (0, 0);
    for (index, point) in run.iter().enumerate() {
        if point.1 < run[highest].1 {
            highest = index;
        }
        if point.1 > run[lowest].1 {
            lowest = index;
        }
    }
    let mut indices = [0, highest.min(lowest), highest.max(lowest), run.len() - 1].to_vec();
    indices.dedup();
    kept.extend(indices.into_iter().map(|index| run[index]));
}

/// The places where a marker of one look already stands.
#[derive(Default)]
pub(crate) struct Taken(BTreeSet<(i64, i64)>);

impl Taken {
    /// Whether a marker at this point shows anything new; remembers it.
    pub(crate) fn is_new(&mut self, (x, y): Point) -> bool {
        self.0.insert(((x * 2.0).round() as i64, (y * 2.0).round() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_keeps_its_ends_and_extremes() {
        let points: Vec<Point> =
            (0..100_000).map(|i| (f64::from(i) / 125.0, f64::from(i * 7919 % 1000))).collect();
        let kept = line(points.clone());
        assert!(kept.len() <= 4 * 800);
        for column in 0..800 {
            let within = |points: &[Point]| {
                let ys = points.iter().filter(|p| p.0.floor() == f64::from(column)).map(|p| p.1);
                (ys.clone().fold(f64::MAX, f64::min), ys.fold(f64::MIN, f64::max))
            };
            assert_eq!(within(&points), within(&kept));
        }
        assert_eq!((kept.first(), kept.last()), (points.first(), points.last()));
    }
}
