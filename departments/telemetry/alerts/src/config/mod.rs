//! Alertmanager's configuration: what is read, what it means, what is refused.
//!
//! The file is Alertmanager's YAML, so that one file serves both. Everything is checked when it is read: a name that nothing
//! bears, a receiver of a kind that is not here, a field with a slip. A configuration that was taken works.

mod raw;
mod receiver;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

pub use receiver::{Command, Email, Integration, Receiver, Target, Webhook};
pub use route::{GroupBy, Route, RouteId};

use crate::interval::{Interval, IntervalError};
use crate::matcher::{Matcher, MatcherError};
use crate::template::TemplateError;
use crate::yaml::{self, YamlError};

/// What a file without `resolve_timeout` has.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a configuration is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not YAML.
    #[error("{0}")]
    Yaml(#[from] YamlError),
    /// A field is unknown, missing or has the wrong form.
    #[error("{place}: {reason}")]
    Field {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A matcher is none.
    #[error("{place}: {source}")]
    Matcher {
        /// Where.
        place: String,
        /// Why.
        source: MatcherError,
    },
    /// A template is none that we take.
    #[error("{place}: {source}")]
    Template {
        /// Where.
        place: String,
        /// Why.
        source: TemplateError,
    },
    /// A time interval is none.
    #[error("{place}: {source}")]
    Interval {
        /// Where.
        place: String,
        /// Why.
        source: IntervalError,
    },
}

pub(crate) fn field(place: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Field { place: place.to_owned(), reason: reason.into() }
}

/// A rule by which some alerts mute others.
#[derive(Clone, Debug, PartialEq)]
pub struct InhibitRule {
    /// The alerts that mute.
    pub source: Vec<Matcher>,
    /// The alerts that are muted.
    pub target: Vec<Matcher>,
    /// Labels in which both must agree.
    pub equal: Vec<String>,
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The text that was read, for people: secrets are left out of it.
    pub original: String,
    /// After how long an alert without an end that is not sent again is over.
    pub resolve_timeout: Duration,
    /// All routes; the first is the root.
    pub routes: Vec<Route>,
    /// Receivers by name.
    pub receivers: BTreeMap<String, Receiver>,
    /// Which alerts mute which.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Named times.
    pub intervals: BTreeMap<String, Vec<Interval>>,
}

/// The configuration of a house that has no file: every alert is kept and shown, none is sent.
pub const DEFAULT: &str =
    "route:\n  receiver: console\n  group_by: [alertname]\nreceivers:\n- name: console\n";

impl Config {
    /// Reads a configuration.
    ///
    /// ```
    /// use backlot_alerts::config::Config;
    /// let config = Config::parse("route: {receiver: a, routes: [{matchers: ['severity=\"page\"'], receiver: b}]}\nreceivers: [{name: a}, {name: b}]")?;
    /// let page = [("alertname", "Disk"), ("severity", "page")].into_iter().collect();
    /// assert_eq!(config.routes[config.matching(&page)[0]].receiver, "b");
    /// # Ok::<(), backlot_alerts::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// The first slip, with its place.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: raw::File =
            raw::read("configuration", as_object("configuration", yaml::parse(text)?)?.into())?;
        let global = file.global.unwrap_or_default();
        let resolve_timeout =
            raw::duration_or("global.resolve_timeout", global.resolve_timeout.as_deref(), RESOLVE_TIMEOUT)?;

        let mut intervals = BTreeMap::new();
        for named in file.time_intervals.into_iter().chain(file.mute_time_intervals) {
            let place = format!("time_intervals: {}", named.name);
            if named.name.is_empty() {
                return Err(field("time_intervals", "an entry has no name"));
            }
            let read = named.time_intervals.into_iter().map(Interval::new).collect::<Result<_, _>>();
            let read = read.map_err(|source| ConfigError::Interval { place: place.clone(), source })?;
            if intervals.insert(named.name, read).is_some() {
                return Err(field(&place, "this name is taken already"));
            }
        }

        let mut receivers = BTreeMap::new();
        for raw in file.receivers {
            let receiver = Receiver::read(raw, &global)?;
            let place = format!("receivers: {}", receiver.name);
            if receivers.insert(receiver.name.clone(), receiver).is_some() {
                return Err(field(&place, "this name is taken already"));
            }
        }

        let root = file
            .route
            .ok_or_else(|| field("route", "there is none; every configuration has a root route"))?;
        let routes = route::flatten(root)?;
        let known: BTreeSet<&str> = intervals.keys().map(String::as_str).collect();
        for route in &routes {
            let place = format!("route {}", route.key);
            if !receivers.contains_key(&route.receiver) {
                return Err(field(
                    &place,
                    format!("there is no receiver `{}`; name one of `receivers`", route.receiver),
                ));
            }
            for name in route.mute_times.iter().chain(&route.active_times) {
                if !known.contains(name.as_str()) {
                    return Err(field(
                        &place,
                        format!("there is no time interval `{name}`; name one of `time_intervals`"),
                    ));
                }
            }
        }

        let inhibit_rules =
            file.inhibit_rules.into_iter().map(route::inhibit_rule).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            original: without_secrets(text),
            resolve_timeout,
            routes,
            receivers,
            inhibit_rules,
            intervals,
        })
    }

    /// The routes that alerts with these labels take.
    pub fn matching(&self, labels: &crate::Labels) -> Vec<RouteId> {
        let mut found = Vec::new();
        route::find(&self.routes, 0, labels, &mut found);
        found
    }
}

/// Passwords, tokens and credentials, wherever they stand, and what stands in a URL before its host.
fn without_secrets(text: &str) -> String {
    static SECRET: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?m)\b(\w*(?:password|credentials|bearer_token|secret|api_key)\s*:[ \t]*)("[^"\n]*"|'[^'\n]*'|[^,}\n]+)"#)
            .expect("invariant: a constant pattern; a test uses it")
    });
    static USER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(https?://)[^/@\s'\x22]+@").expect("invariant: a constant pattern; a test uses it")
    });
    let hidden = SECRET.replace_all(text, "$1<secret>");
    USER.replace_all(&hidden, "$1<secret>@").into_owned()
}

impl Default for Config {
    fn default() -> Self {
        Self::parse(DEFAULT).expect("invariant: the default configuration is one; a test reads it")
    }
}

/// A mapping without the fields that a section may have but that change nothing here.
pub(crate) fn as_object(place: &str, value: Value) -> Result<serde_json::Map<String, Value>, ConfigError> {
    match value {
        Value::Object(members) => Ok(members),
        Value::Null => Ok(serde_json::Map::new()),
        _ => Err(field(place, "this is no mapping")),
    }
}

#[cfg(test)]
mod tests;
