//! The section `[telemetry]` of the configuration.

use backlot_atlas::duration;
use serde::{Deserialize, Deserializer};

use crate::store::{Options, ReadLimits};

/// The settings; every one has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The step of the store: `1m`, `5s`. Publishers send at least once a step.
    #[serde(deserialize_with = "millis")]
    pub step: i64,
    /// How long values are kept.
    #[serde(deserialize_with = "millis")]
    pub retention: i64,
    /// How long values are kept unpacked in memory.
    #[serde(deserialize_with = "millis")]
    pub hot: i64,
    /// Most series.
    pub max_series: usize,
    /// How often the log is synced to the disk: what losing power may cost.
    #[serde(deserialize_with = "millis")]
    pub sync_interval: i64,
    /// How often what has changed is written to a segment.
    #[serde(deserialize_with = "millis")]
    pub checkpoint_interval: i64,
    /// How old a published datapoint may be.
    #[serde(deserialize_with = "millis")]
    pub max_age: i64,
    /// The time zone of graphs that name none.
    pub time_zone: String,
    /// Alerts.
    pub alerts: AlertSettings,
}

/// The section `[telemetry.alerts]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSettings {
    /// Alertmanager's configuration; by default `alertmanager.yml` in the department's folder, if it is there.
    pub config: Option<std::path::PathBuf>,
    /// Where people find the alerts; it stands in notifications.
    pub external_url: String,
    /// How long after a step's end late datapoints are waited for; by default a sixth of the step, 1s to 10s.
    #[serde(deserialize_with = "some_millis")]
    pub grace: Option<i64>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self { config: None, external_url: crate::alerts::usual_url(), grace: None }
    }
}

impl AlertSettings {
    /// How long after the end of a step of this length late datapoints are waited for, in milliseconds.
    pub fn grace(&self, step: i64) -> i64 {
        self.grace.unwrap_or_else(|| (step / 6).clamp(1000, 10_000))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            step: 60_000,
            retention: 16 * 24 * 3_600_000,
            hot: 6 * 3_600_000,
            max_series: 1_000_000,
            sync_interval: 1000,
            checkpoint_interval: 2 * 3_600_000,
            max_age: 3_600_000,
            time_zone: "US/Pacific".to_owned(),
            alerts: AlertSettings::default(),
        }
    }
}

impl Settings {
    /// Checks what cannot be said by types.
    ///
    /// # Errors
    /// What is wrong, and the mend.
    pub fn check(&self) -> Result<(), String> {
        if self.step < 1000 || 86_400_000 % self.step != 0 {
            return Err("`step` must divide a day and be at least 1s; use 5s, 10s, 1m".to_owned());
        }
        if self.alerts.grace.is_some_and(|grace| !(0..=10 * self.step).contains(&grace)) {
            return Err("`alerts.grace` is longer than ten steps; alerts would come that late".to_owned());
        }
        if self.sync_interval < 10 || self.checkpoint_interval < 1000 {
            return Err("`sync_interval` is at least 10ms and `checkpoint_interval` at least 1s".to_owned());
        }
        backlot_atlas::zone(&self.time_zone).map(drop).map_err(|error| error.to_string())
    }

    /// How the store is kept.
    pub fn store(&self, directory: Option<std::path::PathBuf>) -> Options {
        Options {
            step: self.step,
            directory,
            retention: self.retention,
            hot: self.hot,
            max_series: self.max_series,
            limits: ReadLimits::default(),
        }
    }
}

fn some_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    millis(deserializer).map(Some)
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map_err(serde::de::Error::custom)
}
