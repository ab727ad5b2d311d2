//! The telemetry agent: a daemon on every host that takes the measurements of its programs and publishes them.
//!
//! It serves programs that record metrics with Netflix's Spectator clients or with DogStatsD: they point their client at this
//! host, and never wait for it. The one idea: clients send *updates*, without knowing what is done with them; the agent
//! knows the rules of each kind of meter, puts the updates of an interval together, and publishes a few numbers.
//!
//! ```
//! use std::time::Duration;
//!
//! use backlot_spectator::registry::{Limits, Moment, Registry};
//!
//! let mut registry = Registry::new(Limits::default());
//! let now = Moment { monotonic: Duration::ZERO, epoch: Duration::from_secs(1_700_000_000) };
//! registry.record(b"c:server.requests,status=200:1", now)?;
//! registry.record(b"c:server.requests,status=200:2", now)?;
//!
//! let mut measurements = Vec::new();
//! registry.flush(now, &mut measurements);
//! assert_eq!(measurements[0].to_string(), "server.requests,statistic=count,status=200 3");
//! # Ok::<(), backlot_spectator::line::LineError>(())
//! ```

mod admin;
mod agent;
mod args;
pub mod common_tags;
pub mod line;
mod listen;
mod number;
pub mod payload;
mod proc_net;
mod publish;
pub mod registry;
mod self_metrics;
mod sketch;
pub mod statsd;
pub mod systemd;
#[cfg(feature = "testing")]
pub mod testing;

pub use agent::{
    Addresses, Agent, AgentConfig, AgentError, AgentHandle, Flushed, PORT, Reach, SOCKET_PATH, STATSD_PORT,
    Status,
};
pub use args::AgentArgs;
pub use publish::{Batch, Compression, HttpPublisher, HttpTarget, Outcome, Publisher};
