//! The Atlas stack language and wire formats.
//!
//! It serves the telemetry department, whose store answers [`Database`], and whoever wants to read, evaluate or explain an
//! expression. The central idea: **one evaluator, and it is pure.** An expression and a store give lines; a graph asks for a whole
//! window, an alert for one step at a time with its memory in between, and both run the same code. No I/O, no clock: the time of
//! a request is an argument.
//!
//! ```
//! use backlot_atlas::{demo, evaluate, parse, zone};
//! use backlot_series::Grid;
//!
//! // The share of each stack in all starts per second, on the demonstration's data.
//! let shown = parse("name,sps,:eq,(,nf.cluster,),:by,:pct,$nf.cluster,:legend")?;
//! let grid = Grid::new(1_325_376_000_000, 60_000, 3);
//! let lines = evaluate(&shown[0].expr, &demo::Demo::small(), grid, &zone("UTC")?)?;
//! let total: f64 = lines.iter().map(|line| line.values[0]).sum();
//! assert!((total - 100.0).abs() < 1e-9);
//! assert_eq!(shown[0].legend(&lines[0])?, "nccp-appletv");
//! # Ok::<(), backlot_atlas::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`Machine`], [`parse`] | the stack language: from text to [`Styled`] expressions |
//! | [`evaluate`], [`State`] | from expressions to [`Line`]s |
//! | [`graph`] | a graph request: its parameters, its result, and that in each format |
//! | [`wire`] | datapoints in: publish and update bodies, JSON and Smile |
//! | [`stream`] | expressions evaluated as data arrives |
//! | [`normalize`] | from samples at any time to values on steps |
//! | [`demo`] | the deterministic demonstration data |

pub mod demo;
pub mod expr;
pub mod graph;

pub mod normalize;
pub mod percentile;
pub mod stream;
pub mod wire;
pub mod words;

mod data;
mod error;
mod eval;
mod lex;
mod number;
mod stack;
mod style;
mod time;

pub use data::{Aggregate, DataExpr, Database};
pub use error::Error;
pub use eval::{Line, State, evaluate, evaluate_with};
pub use expr::Expr;
pub use number::text as number_text;
pub use stack::{Item, List, Machine, Step, parse, parse_one};
pub use style::{Styled, substitute};
pub use time::{duration, duration_text, utc_text, window as time_window, zone};
