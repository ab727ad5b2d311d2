//! Dimensional time series: what every department that looks at numbers over time has in common.
//!
//! It serves the telemetry store, the analyses over its signals, and whoever else reads series through [`Source`]. The central
//! idea: **a series is a column on a regular grid, and NaN stands where nothing is known.** There are no timestamps beside
//! the values and no validity bitmaps; position is time, and every function here says what it does with NaN.
//!
//! | part | what it is |
//! |---|---|
//! | [`Grid`], [`Series`] | start, step and length; tags and values on a grid |
//! | [`Tags`], [`Query`], [`TagIndex`] | dimensions, conditions on them, and the index that finds the series that fulfil one |
//! | [`nan`] | addition, extremes and comparisons that know what is missing |
//! | [`Consolidation`] | fewer, wider steps |
//! | [`Summary`] | average, extremes, last, count and total of a column |
//! | [`window`] | functions of a sliding window, one value at a time: the same for a graph and for a stream |
//! | [`block`] | a column as bytes, exact to the bit, about a byte a value on what machines measure |
//! | [`Source`] | named query in, series out: how departments read one another's series |
//!
//! No I/O, no clock, no chance: the same input gives the same bits everywhere.
//!
//! ```
//! use backlot_series::{Consolidation, Grid, Query, TagIndex, Tags, window};
//!
//! let mut index = TagIndex::default();
//! index.insert(1, &Tags::new([("name", "rps"), ("host", "a")]));
//! index.insert(2, &Tags::new([("name", "rps"), ("host", "b")]));
//! let on_b = Query::equal("name", "rps").and(Query::equal("host", "b"));
//! assert_eq!(index.find(&on_b).iter().collect::<Vec<_>>(), [2]);
//!
//! // Six minutes as three steps of two: a slot without a value counts as zero in an average of rates.
//! let column = [1.0, 3.0, f64::NAN, 4.0, f64::NAN, f64::NAN];
//! let wider = Consolidation::Average.apply(&column, 2);
//! assert_eq!(wider[..2], [2.0, 2.0]);
//! assert!(wider[2].is_nan());
//!
//! let mut smooth = window::Des::new(2, 0.5, 0.1);
//! let forecast: Vec<f64> = [5.0, 5.0, 5.0].into_iter().map(|value| window::Online::next(&mut smooth, value)).collect();
//! assert_eq!(forecast[2], 5.0);
//!
//! let grid = Grid::new(60_000, 60_000, 6);
//! assert_eq!(grid.index_of(180_000), Some(2));
//! ```

pub mod block;
pub mod nan;
pub mod window;

mod consolidate;
mod grid;
mod index;
mod pattern;
mod query;
mod source;
mod summary;
mod tags;

pub use consolidate::Consolidation;
pub use grid::{Grid, Series};
pub use index::{KeyCount, TagIndex};
pub use pattern::{Case, Pattern, PatternError};
pub use query::{Query, StackWord};
pub use source::{Source, SourceError};
pub use summary::{Statistic, Summary};
pub use tags::Tags;
