//! Time-series analysis for people who ask which of a thousand signals explains an alert.
//!
//! | module | answers |
//! |---|---|
//! | [`segment`], [`cost`], [`penalty`](mod@penalty) | where a signal changes, exactly, and how many changes are believed |
//! | [`online`] | that it has changed, while it comes in |
//! | [`novelty`] | how unlike everything before it the newest point is |
//! | [`correlate`] | whether one signal moves with another, before or after it |
//! | [`matrix_profile`] | which windows repeat, and which are like no other |
//! | [`outliers`] | which hosts do not behave like the others |
//! | [`seasonal`], [`rpca`] | what repeats, what stands out, and the rest |
//! | [`forecast`] | what comes next, with intervals |
//! | [`robust`] | location and spread that a few wild values do not move |
//! | [`explain`] | which of many signals explains an alert |
//!
//! Everything here is arithmetic on slices: no clock, no file, no chance, and threads only where a function is told how many. The same input gives the same bytes on
//! every machine, instruction set and number of threads (transcendental functions come from `libm`, sums have one order).
//!
//! The one idea: **nothing is silent.** A missing point is NaN and carries no weight, or is refused by name where it cannot be so; infinite
//! values, signals too short, and parameters out of range are errors that say which.
//!
//! ```
//! use backlot_signals_kernels::{changes, Detection};
//!
//! let mut signal = vec![0.0; 33];
//! signal.extend([5.0; 30]);
//! signal[7] = f64::NAN; // a missing point
//! let found = changes(&signal, &Detection::default())?;
//! assert_eq!(found.ends, [33, 63]);
//! # Ok::<(), backlot_signals_kernels::Error>(())
//! ```

pub mod correlate;
pub mod cost;
mod detect;
mod error;
pub mod explain;
#[cfg(any(test, feature = "testing"))]
pub mod fleet;
pub mod forecast;
pub mod incident;
mod isa;
mod linalg;
pub mod matrix_profile;
pub mod novelty;
pub mod online;
pub mod outliers;
pub mod penalty;
mod random;
pub mod robust;
pub mod rpca;
pub mod seasonal;
pub mod segment;
mod signal;
pub mod significance;
mod sums;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod vector;

pub use detect::{Changes, Detection, Penalty, changes, changes_of_rows};
pub use error::Error;
pub use isa::Isa;
pub use random::Random;
pub use signal::{Observed, Signal};
