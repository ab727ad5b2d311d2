//! The forms of markers.

use super::geometry::{Path, Point};
use crate::style::Symbol;

/// How a symbol is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Filled,
    Outlined,
}

/// A five-pointed star of radius 1, tip up, as sine and cosine of multiples of 36 degrees; inner radius as in Plotly 0.4.
const STAR: [Point; 10] = [
    (0.0, -1.0),
    (0.235_114, -0.323_607),
    (0.951_057, -0.309_017),
    (0.380_423, 0.123_607),
    (0.587_785, 0.809_017),
    (0.0, 0.4),
    (-0.587_785, 0.809_017),
    (-0.380_423, 0.123_607),
    (-0.951_057, -0.309_017),
    (-0.235_114, -0.323_607),
];

/// Adds the symbol with the radius `r` about `center` to `path`.
pub(crate) fn add(path: &mut Path, symbol: Symbol, center: Point, r: f64) -> Ink {
    let (x, y) = center;
    let at = |dx: f64, dy: f64| (x + dx * r, y + dy * r);
    let mut polygon = |points: &[Point]| {
        let points: Vec<Point> = points.iter().map(|(dx, dy)| at(*dx, *dy)).collect();
        path.add_polygon(&points);
    };
    match symbol {
        Symbol::Circle => {
            path.add_ellipse(center, r, r);
            Ink::Filled
        }
        Symbol::CircleOpen => {
            path.add_ellipse(center, r, r);
            Ink::Outlined
        }
        Symbol::Square | Symbol::SquareOpen => {
            polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]);
            if symbol == Symbol::Square { Ink::Filled } else { Ink::Outlined }
        }
        Symbol::Diamond | Symbol::DiamondOpen => {
            polygon(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]);
            if symbol == Symbol::Diamond { Ink::Filled } else { Ink::Outlined }
        }
        Symbol::Cross => {
            let (a, b) = (0.4, 1.15);
            polygon(&[
                (-a, -b),
                (a, -b),
                (a, -a),
                (b, -a),
                (b, a),
                (a, a),
                (a, b),
                (-a, b),
                (-a, a),
                (-b, a),
                (-b, -a),
                (-a, -a),
            ]);
            Ink::Filled
        }
        Symbol::X => {
            // The cross turned by 45 degrees: (a ± b) / √2.
            let (near, side, far) = (0.566, 0.53, 1.096);
            polygon(&[
                (0.0, -near),
                (side, -far),
                (far, -side),
                (near, 0.0),
                (far, side),
                (side, far),
                (0.0, near),
                (-side, far),
                (-far, side),
                (-near, 0.0),
                (-far, -side),
                (-side, -far),
            ]);
            Ink::Filled
        }
        Symbol::TriangleUp => {
            polygon(&[(0.0, -1.15), (1.1, 0.75), (-1.1, 0.75)]);
            Ink::Filled
        }
        Symbol::TriangleDown => {
            polygon(&[(0.0, 1.15), (-1.1, -0.75), (1.1, -0.75)]);
            Ink::Filled
        }
        Symbol::Star => {
            polygon(&STAR.map(|(dx, dy)| (dx * 1.4, dy * 1.4)));
            Ink::Filled
        }
        Symbol::CrossThin => {
            path.add_line(at(-1.3, 0.0), at(1.3, 0.0));
            path.add_line(at(0.0, -1.3), at(0.0, 1.3));
            Ink::Outlined
        }
        Symbol::XThin => {
            path.add_line(at(-1.0, -1.0), at(1.0, 1.0));
            path.add_line(at(-1.0, 1.0), at(1.0, -1.0));
            Ink::Outlined
        }
        Symbol::LineEw => {
            path.add_line(at(-1.3, 0.0), at(1.3, 0.0));
            Ink::Outlined
        }
        Symbol::LineNs => {
            path.add_line(at(0.0, -1.3), at(0.0, 1.3));
            Ink::Outlined
        }
    }
}
