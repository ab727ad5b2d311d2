//! Meters of a running program, by the rules of Netflix Spectator: counters, timers, distribution summaries, gauges, and
//! percentiles, each known by a name and tags.
//!
//! It serves every department, which counts and times its own work, and the telemetry agent, which shares the ids, the
//! percentile buckets and the measurements. The one idea: a meter is a handle on a few atomics. To update it takes no lock,
//! no allocation and no clock; everything else (rates, time to live, statistics) happens when the registry is asked for a
//! [`Snapshot`](Registry::snapshot), with the time as an argument.
//!
//! ```
//! use std::time::Duration;
//!
//! use backlot_meters::{Id, Registry};
//!
//! let registry = Registry::default();
//! let requests = registry.counter(Id::new("server.requests").with("status", "200"));
//! let latency = registry.percentile_timer("server.latency");
//! requests.increment();
//! latency.record(Duration::from_millis(42));
//!
//! let measurements = registry.snapshot(Duration::ZERO);
//! let lines: Vec<String> = measurements.iter().map(ToString::to_string).collect();
//! assert_eq!(lines[0], "server.requests,statistic=count,status=200 1");
//! assert_eq!(lines[1], "server.latency,statistic=count 1");
//! assert_eq!(lines[5], "server.latency,percentile=T006D,statistic=percentile 1");
//! ```
//!
//! What a snapshot resets, and which statistics it gives, is told at each meter: [`Counter`], [`Timer`],
//! [`DistributionSummary`], [`Gauge`], [`MaxGauge`], [`AgeGauge`].

pub mod buckets;
mod id;
mod measurement;
mod meter;
mod registry;

pub use id::{Id, Tags};
pub use measurement::{FinalTags, Measurement, Op, Statistic, TagValue};
pub use meter::{
    AgeGauge, Counter, DistributionSummary, Gauge, MaxGauge, PercentileDistributionSummary, PercentileTimer,
    Timer, Timing,
};
pub use registry::{Limits, Registry};
