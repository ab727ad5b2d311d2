//! Department telemetry: dimensional metrics stored and queried.
//!
//! Services publish with the Spectator clients that they have; people and programs ask with the Atlas stack language. The
//! central idea: **one store and one evaluator behind every door**, so that a graph, a page and another department see the same
//! numbers.
//!
//! | door | what comes in or goes out |
//! |---|---|
//! | `/atlas/api/v4/update`, `/atlas/api/v1/publish` | datapoints of Spectator and Atlas clients |
//! | `/atlas/api/v1/graph`, `/atlas/api/v1/tags`, `/atlas/api/v1/expr` | queries |
//! | `/alertmanager` | alerts and silences: Alertmanager's interface |
//! | `/telemetry/api/v1/rules`, `/telemetry/lwc/api/v1/…`, `/telemetry/api/v2/subscribe/…` | alert rules, subscriptions |
//! | `/prometheus/api/v1/write`, `/prometheus/api/v1/import/prometheus`, `/prometheus/metrics/job/…` | samples of Prometheus, vmagent, exporters, batch jobs |
//! | `/prometheus/metrics` | what this server counts, for Prometheus |
//! | UDP 1234 and 8125 | lines of Spectator and DogStatsD clients |
//!
//! ```
//! use backlot_atlas::{Database, evaluate, parse, zone};
//! use backlot_series::Grid;
//! use backlot_telemetry::store::{Effect, Options, Sample, Store};
//!
//! let store = Store::open(Options::default(), 0)?;
//! let mut batch = store.batch();
//! batch.write(&[("host", "a"), ("name", "rps")], 60_000, Sample::Value(Effect::Set, 2.5));
//! batch.commit()?;
//! let shown = &parse("name,rps,:eq,:sum")?[0];
//! let lines = evaluate(&shown.expr, &store, Grid::new(60_000, 60_000, 1), &zone("UTC")?)?;
//! assert_eq!(lines[0].values, [2.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod store;

mod agent;
mod alerts;
mod atlas_door;
mod commands;
mod department;
mod ingest;
mod lwc;
mod openapi;
mod own;
mod pages;
mod prometheus;
mod settings;
mod source;
mod state;

pub use backlot_spectator::systemd;
pub use department::Telemetry;
pub use settings::{AgentSettings, AlertSettings, ScrapeSettings, Settings, TierSettings};
