//! Points, rectangles, paths, and clipping, all in pixels with y growing downwards.

/// A point.
pub(crate) type Point = (f64, f64);

/// An upright rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Rect {
    /// The rectangle with these two opposite corners.
    pub(crate) fn spanning(a: Point, b: Point) -> Self {
        Self { left: a.0.min(b.0), top: a.1.min(b.1), right: a.0.max(b.0), bottom: a.1.max(b.1) }
    }

    pub(crate) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub(crate) fn center(&self) -> Point {
        (f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }

    /// The rectangle grown by `by` on every side.
    pub(crate) fn grow(&self, by: f64) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }

    pub(crate) fn contains(&self, (x, y): Point) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }

    /// The common part of both, if there is one.
    pub(crate) fn intersect(&self, other: &Self) -> Option<Self> {
        let common = Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        (common.left < common.right && common.top < common.bottom).then_some(common)
    }
}

/// A step of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Segment {
    Move(Point),
    Line(Point),
    Quad(Point, Point),
    Cubic(Point, Point, Point),
    Close,
}

/// One or more outlines.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Path(pub(crate) Vec<Segment>);

/// The distance of a cubic's handle from its end that makes a quarter circle of radius 1: 4/3 (√2 − 1).
const QUARTER_CIRCLE: f64 = 0.552_284_749_830_793_4;

impl Path {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add_line(&mut self, from: Point, to: Point) {
        self.0.extend([Segment::Move(from), Segment::Line(to)]);
    }

    pub(crate) fn line(from: Point, to: Point) -> Self {
        Self(vec![Segment::Move(from), Segment::Line(to)])
    }

    pub(crate) fn add_polyline(&mut self, points: &[Point]) {
        self.0.reserve(points.len());
        for (index, point) in points.iter().enumerate() {
            self.0.push(if index == 0 { Segment::Move(*point) } else { Segment::Line(*point) });
        }
    }

    pub(crate) fn add_polygon(&mut self, points: &[Point]) {
        if !points.is_empty() {
            self.add_polyline(points);
            self.0.push(Segment::Close);
        }
    }

    pub(crate) fn add_rect(&mut self, rect: &Rect) {
        let Rect { left, top, right, bottom } = *rect;
        self.add_polygon(&[(left, top), (right, top), (right, bottom), (left, bottom)]);
    }

    pub(crate) fn rect(rect: &Rect) -> Self {
        let mut path = Self::default();
        path.add_rect(rect);
        path
    }

    pub(crate) fn add_ellipse(&mut self, (x, y): Point, rx: f64, ry: f64) {
        let (hx, hy) = (rx * QUARTER_CIRCLE, ry * QUARTER_CIRCLE);
        self.0.extend([
            Segment::Move((x + rx, y)),
            Segment::Cubic((x + rx, y + hy), (x + hx, y + ry), (x, y + ry)),
            Segment::Cubic((x - hx, y + ry), (x - rx, y + hy), (x - rx, y)),
            Segment::Cubic((x - rx, y - hy), (x - hx, y - ry), (x, y - ry)),
            Segment::Cubic((x + hx, y - ry), (x + rx, y - hy), (x + rx, y)),
            Segment::Close,
        ]);
    }
}

/// The part of the segment from `a` to `b` inside `rect` (Liang and Barsky, 1984); `None` if there is none.
pub(crate) fn clip_segment(a: Point, b: Point, rect: &Rect) -> Option<(Point, Point)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (delta, room) in
        [(-dx, a.0 - rect.left), (dx, rect.right - a.0), (-dy, a.1 - rect.top), (dy, rect.bottom - a.1)]
    {
        if delta == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if delta < 0.0 {
            enter = enter.max(room / delta);
        } else {
            leave = leave.min(room / delta);
        }
    }
    let at = |share: f64| (a.0 + share * dx, a.1 + share * dy);
    // A segment that starts (or ends) inside keeps its own end, to the last bit.
    let start = if enter == 0.0 { a } else { at(enter) };
    let end = if leave == 1.0 { b } else { at(leave) };
    (enter <= leave).then_some((start, end))
}

/// `points` as polylines cut to `rect`: pieces that leave it end at its edge.
pub(crate) fn clip_polyline(points: &[Point], rect: &Rect) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    let mut open: Vec<Point> = Vec::new();
    for pair in points.windows(2) {
        let Some((start, end)) = clip_segment(pair[0], pair[1], rect) else { continue };
        if open.last() != Some(&start) {
            if open.len() > 1 {
                pieces.push(std::mem::take(&mut open));
            }
            open.clear();
            open.push(start);
        }
        open.push(end);
    }
    if open.len() > 1 {
        pieces.push(open);
    }
    pieces
}

/// `polygon` cut to `rect` (Sutherland and Hodgman, 1974).
pub(crate) fn clip_polygon(polygon: &[Point], rect: &Rect) -> Vec<Point> {
    type Side = (fn(&Rect, Point) -> bool, fn(&Rect, Point, Point) -> Point);
    fn at_x(a: Point, b: Point, x: f64) -> Point {
        (x, a.1 + (b.1 - a.1) * ((x - a.0) / (b.0 - a.0)))
    }
    fn at_y(a: Point, b: Point, y: f64) -> Point {
        (a.0 + (b.0 - a.0) * ((y - a.1) / (b.1 - a.1)), y)
    }
    let sides: [Side; 4] = [
        (|rect, point| point.0 >= rect.left, |rect, a, b| at_x(a, b, rect.left)),
        (|rect, point| point.0 <= rect.right, |rect, a, b| at_x(a, b, rect.right)),
        (|rect, point| point.1 >= rect.top, |rect, a, b| at_y(a, b, rect.top)),
        (|rect, point| point.1 <= rect.bottom, |rect, a, b| at_y(a, b, rect.bottom)),
    ];
    let mut points = polygon.to_vec();
    for (inside, cut) in sides {
        let mut kept = Vec::with_capacity(points.len());
        for (index, point) in points.iter().enumerate() {
            let before = points[if index == 0 { points.len() - 1 } else { index - 1 }];
            match (inside(rect, before), inside(rect, *point)) {
                (true, true) => kept.push(*point),
                (true, false) => kept.push(cut(rect, before, *point)),
                (false, true) => kept.extend([cut(rect, before, *point), *point]),
                (false, false) => {}
            }
        }
        points = kept;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Rect = Rect { left: 0.0, top: 0.0, right: 10.0, bottom: 10.0 };

    #[test]
    fn a_line_is_cut_at_the_edges_and_joined_inside() {
        let pieces = clip_polyline(&[(-5.0, 5.0), (5.0, 5.0), (5.0, 25.0), (8.0, 25.0), (8.0, 5.0)], &BOX);
        assert_eq!(pieces, vec![vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 5.0)]]);
        assert!(clip_polyline(&[(-5.0, -5.0), (-5.0, 20.0)], &BOX).is_empty());
    }

    #[test]
    fn a_polygon_is_cut_at_the_edges() {
        let cut = clip_polygon(&[(-5.0, 2.0), (5.0, 2.0), (5.0, 4.0), (-5.0, 4.0)], &BOX);
        assert_eq!(cut, vec![(0.0, 2.0), (5.0, 2.0), (5.0, 4.0), (0.0, 4.0)]);
        assert!(clip_polygon(&[(20.0, 20.0), (30.0, 20.0), (30.0, 30.0)], &BOX).is_empty());
    }
}
