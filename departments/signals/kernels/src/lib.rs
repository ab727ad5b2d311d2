//! Time-series analysis for people who ask which of a thousand signals explains an alert.
//!
//! [`segment`] finds change points exactly, under the costs of [`cost`]; [`penalty`](mod@penalty) chooses how many from the noise; [`robust`] measures
//! location and spread. Everything here is arithmetic on slices: no clock, no file, no thread, no chance; the same input gives the same bytes on
//! every machine (transcendental functions come from `libm`, sums have one order).
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
pub mod incident;
mod linalg;
pub mod penalty;
mod random;
pub mod robust;
pub mod seasonal;
pub mod segment;
mod signal;
pub mod significance;
mod sums;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use detect::{Changes, Detection, Penalty, changes};
pub use error::Error;
pub use random::Random;
pub use signal::{Observed, Signal};
