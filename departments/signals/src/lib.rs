//! Department signals: which of a thousand metrics explains an alert.
//!
//! An alert fires; a person wants to know what changed, when, in what order, and what moved together. [`explain`] answers from a [`Table`] of
//! signals within a second or two; `backlot signals explain` does so at the command line, and the task kinds `signals.*` spread it over any number of workers.
//! The arithmetic is `backlot-signals-kernels`.
//!
//! The one idea: **the same bytes whoever computes.** Candidates are examined in parts of fixed size, each depending on its own signals and
//! the alert's only, and put together in one order; so a thread, eight workers, and a worker that was killed and replaced give one answer.
//!
//! ```
//! use backlot_signals::{Asked, Table, explain};
//! use backlot_signals_kernels::incident::Plan;
//! use std::num::NonZeroUsize;
//!
//! let incident = Plan { signals: 40, ..Plan::default() }.make(5);
//! let mut names = incident.names.clone();
//! let mut signals = incident.signals.clone();
//! names.push("starts".into());
//! signals.push(incident.alert.clone());
//! let table = Table::new(0, 300_000, names, signals)?;
//! let at = Some((incident.fired * 300).to_string());
//! let asked = Asked { alert: "starts".into(), at, ..Asked::default() };
//! let explanation = explain(&table, &asked, NonZeroUsize::MIN)?;
//! assert_eq!(explanation.timeline[0].signal, incident.names[incident.root]);
//! # Ok::<(), backlot_signals::Error>(())
//! ```

pub mod alerts;
pub mod changes;
mod command;
mod csv;
mod department;
mod door;
mod error;
mod explanation;
pub mod figure;
pub mod kinds;
pub mod live;
mod pages;
mod progress;
mod question;
pub mod read;
mod remote;
mod settings;
mod table;
pub mod text;

pub use department::Signals;
pub use error::Error;
pub use explanation::{
    Alert, CHUNK, Correlation, Entry, Explanation, Group, Skipped, chunks, examine, explain, explain_counted,
};
pub use progress::Progress;
pub use question::Asked;
pub use settings::Settings;
pub use table::{Header, Table, TableReader};
