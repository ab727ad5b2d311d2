//! Alerts: who is told what, when, and why not.
//!
//! It serves the telemetry department, whose rules and doors bring alerts in, and whoever needs Alertmanager's semantics as a
//! library. The central idea: **the engine is a planner.** Alerts, silences and the clock go in; rows to keep and notifications
//! to send come out; it does no I/O, so a test drives a week of it in a millisecond, and every decision can be asked for its
//! reason. What touches the world, the receivers, is [`deliver`], and knows nothing of routes or groups.
//!
//! ```
//! use std::sync::Arc;
//! use backlot_alerts::config::Config;
//! use backlot_alerts::engine::{Engine, Kept, Posted};
//!
//! let text = "route: {receiver: a, group_by: [alertname], group_wait: 10s}\nreceivers: [{name: a, webhook_configs: [{url: 'http://localhost:9'}]}]";
//! let noon = "2026-11-29T12:00:00Z".parse()?;
//! let mut engine = Engine::new(Arc::new(Config::parse(text)?), Kept::default(), noon);
//! let labels = [("alertname", "Disk"), ("host", "a")].into_iter().collect();
//! let (kept, refused) = engine.put(vec![Posted { labels, ..Posted::default() }], noon);
//! assert!(kept.transitions[0].firing && refused.is_empty());
//!
//! assert!(engine.tick("2026-11-29T12:00:09Z".parse()?).1.is_empty());
//! let (_, due) = engine.tick("2026-11-29T12:00:10Z".parse()?);
//! assert_eq!(due[0].key.group_key, r#"{}:{alertname="Disk"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | Alertmanager's configuration |
//! | [`matcher`], [`interval`], [`template`] | its small languages |
//! | [`engine`] | routing, grouping, timers, silences, inhibition, what was told, why |
//! | [`wire`] | the JSON of Alertmanager's API and webhook |
//! | [`deliver`] | webhook, mail and command |

pub mod alert;
pub mod config;
pub mod deliver;
pub mod engine;
pub mod interval;
pub mod matcher;
pub mod silence;
pub mod stamp;
pub mod template;
pub mod wire;

mod inhibit;
mod labels;
mod yaml;

pub use alert::{Alert, AlertError, Origin};
pub use config::Config;
pub use engine::{Changes, Engine, Notification};
pub use labels::{Fingerprint, Labels, is_label_name};
pub use matcher::Matcher;
pub use silence::{Silence, SilenceError, SilenceState};
