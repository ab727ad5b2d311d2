//! What can be wrong with a signal or a request.

/// Why an analysis refuses its input. Each message is one line and names the mend.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value is infinite.
    #[error("point {index} is {value}; replace infinite values, or mark them as missing with NaN")]
    Infinite {
        /// Its place, from 0, in the order of the values.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A value is missing where every point must be there.
    #[error("point {index} is missing (NaN); leave missing points out or fill them before this analysis")]
    Missing {
        /// Its place, from 0, in the order of the values.
        index: usize,
    },
    /// There are too few observed points.
    #[error(
        "{points} observed points are too few, {needed} are needed; widen the window or lower the minimum size"
    )]
    TooShort {
        /// Points that are there and not NaN.
        points: usize,
        /// The fewest that the analysis takes.
        needed: usize,
    },
    /// There are more points than the analysis has memory for.
    #[error("{points} points are too many for {what}, which takes {limit}; aggregate the signal first")]
    TooLong {
        /// The analysis.
        what: &'static str,
        /// Points given.
        points: usize,
        /// The most it takes.
        limit: usize,
    },
    /// The values do not fill a table of this many columns.
    #[error("{values} values do not make rows of {columns}; give every point all its dimensions")]
    Shape {
        /// Values given.
        values: usize,
        /// Dimensions of a point.
        columns: usize,
    },
    /// Two inputs that belong together differ in length.
    #[error("{left} points stand beside {right}; give both the same length")]
    Length {
        /// Points of the first.
        left: usize,
        /// Points of the second.
        right: usize,
    },
    /// That many segments of that size do not fit.
    #[error(
        "{changes} change points do not fit {points} points in segments of at least {min_size} with a step of {jump}; ask for fewer or smaller"
    )]
    Segments {
        /// Change points asked for.
        changes: usize,
        /// Points there are.
        points: usize,
        /// The fewest points of a segment.
        min_size: usize,
        /// The grid of admissible change points.
        jump: usize,
    },
    /// A parameter is outside its range.
    #[error("{name} is {value}; {wanted}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is taken.
        wanted: &'static str,
    },
    /// A covariance has no inverse.
    #[error("the covariance of the signal has no inverse; leave out dimensions that are sums of others")]
    Singular,
}
