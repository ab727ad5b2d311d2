//! The section `[telemetry]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use backlot_atlas::duration;
use backlot_spectator::{PORT, STATSD_PORT};
use serde::{Deserialize, Deserializer};

use crate::store::{Options, ReadLimits, Tier};

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
    /// Wider steps that are kept for longer, the narrowest first.
    pub tiers: Vec<TierSettings>,
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
    /// Whether what this server counts is kept in its own store.
    pub self_metrics: bool,
    /// The agent that runs in the server.
    pub agent: AgentSettings,
    /// Exporters that are asked for their metrics.
    pub scrape: Vec<ScrapeSettings>,
    /// Alerts.
    pub alerts: AlertSettings,
}

/// Most tiers.
const MOST_TIERS: usize = 8;

const DAY: i64 = 24 * 3_600_000;

/// One of `tiers`: `{ step = "5m", retention = "90d" }`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSettings {
    /// Its step.
    #[serde(deserialize_with = "millis")]
    pub step: i64,
    /// How long it is kept.
    #[serde(deserialize_with = "millis")]
    pub retention: i64,
}

/// The section `[telemetry.agent]`: where the agent inside the server listens, all on this machine only.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// Whether it runs.
    pub enabled: bool,
    /// UDP, lines of the Spectator protocol.
    pub lines: Option<SocketAddr>,
    /// UDP, lines of DogStatsD.
    pub statsd: Option<SocketAddr>,
    /// Unix datagrams, lines of the Spectator protocol.
    pub unix: Option<PathBuf>,
    /// TCP, the agent's admin.
    pub admin: Option<SocketAddr>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        let loopback = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self {
            enabled: true,
            lines: loopback(PORT),
            statsd: loopback(STATSD_PORT),
            unix: None,
            admin: loopback(PORT),
        }
    }
}

/// One `[[telemetry.scrape]]`: exporters of one job.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapeSettings {
    /// The value of the tag `job`.
    pub job: String,
    /// `HOST:PORT`, which becomes the tag `instance`, or a whole `http://…` address.
    pub targets: Vec<String>,
    /// The path of the metrics on targets that name none.
    #[serde(default = "metrics_path")]
    pub path: String,
    /// How often they are asked; by default once a step.
    #[serde(default, deserialize_with = "some_millis")]
    pub interval: Option<i64>,
}

fn metrics_path() -> String {
    "/metrics".to_owned()
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
            retention: 16 * DAY,
            tiers: Vec::new(),
            hot: 6 * 3_600_000,
            max_series: 1_000_000,
            sync_interval: 1000,
            checkpoint_interval: 2 * 3_600_000,
            max_age: 3_600_000,
            time_zone: "US/Pacific".to_owned(),
            self_metrics: true,
            agent: AgentSettings::default(),
            scrape: Vec::new(),
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
        let (mut step, mut retention) = (self.step, self.retention);
        for tier in self.tiers() {
            if tier.step <= step || tier.step % step != 0 || tier.retention <= retention {
                return Err(format!(
                    "`tiers`: {} must be a multiple of the step before it, and be kept for longer than that",
                    backlot_atlas::duration_text(tier.step)
                ));
            }
            (step, retention) = (tier.step, tier.retention);
        }
        if self.tiers.len() > MOST_TIERS {
            return Err(format!("`tiers`: at most {MOST_TIERS}"));
        }
        // A tier takes what is older than `hot` in parts of 240 of its steps, which must not have been forgotten by then.
        let longest = self.tiers.iter().map(|tier| tier.step.saturating_mul(300)).max().unwrap_or(0);
        if !self.tiers.is_empty() && self.retention < longest.saturating_add(self.hot) {
            return Err(format!(
                "`tiers`: `retention` must be at least {} for the widest of them",
                backlot_atlas::duration_text(longest.saturating_add(self.hot))
            ));
        }
        for address in [self.agent.lines, self.agent.statsd, self.agent.admin].into_iter().flatten() {
            if !address.ip().is_loopback() {
                return Err(format!(
                    "`agent`: {address} is open to the network, where nobody signs in; use a loopback address"
                ));
            }
        }
        for scrape in &self.scrape {
            if scrape.interval.is_some_and(|interval| interval < 1000) || scrape.job.is_empty() {
                return Err("`scrape`: a `job` has a name, and its `interval` is at least 1s".to_owned());
            }
            if let Some(wrong) =
                scrape.targets.iter().find(|target| target.starts_with("https:") || target.is_empty())
            {
                return Err(format!(
                    "`scrape`: the target `{wrong}` is not HOST:PORT or http://HOST:PORT/PATH"
                ));
            }
        }
        backlot_atlas::zone(&self.time_zone).map(drop).map_err(|error| error.to_string())
    }

    fn tiers(&self) -> impl Iterator<Item = Tier> {
        self.tiers.iter().map(|tier| Tier { step: tier.step, retention: tier.retention })
    }

    /// How the store is kept.
    pub fn store(&self, directory: Option<PathBuf>) -> Options {
        Options {
            step: self.step,
            directory,
            retention: self.retention,
            hot: self.hot,
            tiers: self.tiers().collect(),
            max_series: self.max_series,
            limits: ReadLimits::default(),
        }
    }
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map_err(serde::de::Error::custom)
}

fn some_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    millis(deserializer).map(Some)
}
