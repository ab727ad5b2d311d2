//! The engine: alerts, silences and the clock in, notifications out.
//!
//! ```text
//! put ──► alert ──► routes ──► groups, each with a timer ──► tick: a group is due ──► inhibited? muted? silenced? told already?
//!                                                                    └──► Notification ──► sent elsewhere ──► delivered
//! ```
//!
//! It does no I/O and reads no clock: whoever drives it passes the time, keeps the [`Changes`] that each call returns, and sends the
//! [`Notification`]s. The same calls give the same answers. What must survive a restart is rows (alerts, silences, the log of
//! notifications); groups and their timers follow from those, so a restart in the middle of a group's wait changes nothing:
//! the group is due when it was due, and is told once.
//!
//! The rules are Alertmanager's (`dispatch`, `notify` and `inhibit` of its repository): a group waits `group_wait` before its first
//! notification (none if its alert is older than that), looks again every `group_interval`, and repeats itself after
//! `repeat_interval`; a notification that was logged is not sent again unless an alert began, or ended and the receiver wants to know.

mod explain;
mod flush;
mod groups;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use explain::{AlertState, Explanation, GroupView, IntegrationView, RouteView};
pub use flush::{Decision, Reason, Verdict};
use groups::Groups;

use crate::alert::{Alert, AlertError};
use crate::config::Config;
use crate::inhibit::Inhibitor;
use crate::labels::Fingerprint;
use crate::silence::{Silence, SilenceError, Silences};
use crate::{Labels, stamp};

/// Most alerts that are kept, those that fire and those that are over: about a gigabyte of the largest usual ones.
pub const MOST_ALERTS: usize = 500_000;

/// How long alerts that are over are kept for the console.
const RESOLVED_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Most of them.
const MOST_RESOLVED: usize = 50_000;

/// The engine.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    alerts: HashMap<Fingerprint, Alert>,
    /// Ends that are still to come, of alerts whose firing was announced.
    ends: BTreeSet<(Timestamp, Fingerprint)>,
    silences: Silences,
    inhibitor: Inhibitor,
    groups: Groups,
    log: HashMap<LogKey, LogEntry>,
    in_flight: HashMap<u64, flush::InFlight>,
    in_flight_keys: HashSet<LogKey>,
    next_notification: u64,
    /// Grows with every change: of two writers of a row the later one holds.
    version: i64,
    last_tick: Timestamp,
    last_sweep: Timestamp,
}

/// To whom a group was told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogKey {
    /// The group.
    pub group_key: String,
    /// The receiver.
    pub receiver: String,
    /// Its way: `webhook[0]`.
    pub integration: String,
}

/// What was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When.
    #[serde(with = "stamp")]
    pub at: Timestamp,
    /// The alerts that fired.
    pub firing: BTreeSet<Fingerprint>,
    /// The alerts that were over.
    pub resolved: BTreeSet<Fingerprint>,
    /// When this may be forgotten.
    #[serde(with = "stamp")]
    pub expires: Timestamp,
}

/// An alert began, or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// Whether it began.
    pub firing: bool,
    /// The alert as it is now.
    pub alert: Alert,
}

/// What a call changed: to be kept before anybody is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// See [`Engine`]: of two versions of a row the larger holds.
    pub version: i64,
    /// Alerts as they are now; `None` for those that are forgotten.
    pub alerts: BTreeMap<Fingerprint, Option<Alert>>,
    /// Silences likewise.
    pub silences: BTreeMap<String, Option<Silence>>,
    /// The log of notifications likewise.
    pub log: BTreeMap<LogKey, Option<LogEntry>>,
    /// Alerts that began or ended.
    pub transitions: Vec<Transition>,
    /// What was decided about groups.
    pub decisions: Vec<Decision>,
}

impl Changes {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty()
            && self.silences.is_empty()
            && self.log.is_empty()
            && self.transitions.is_empty()
            && self.decisions.is_empty()
    }

    /// These and later ones.
    pub fn then(mut self, later: Self) -> Self {
        self.version = self.version.max(later.version);
        self.alerts.extend(later.alerts);
        self.silences.extend(later.silences);
        self.log.extend(later.log);
        self.transitions.extend(later.transitions);
        self.decisions.extend(later.decisions);
        self
    }
}

/// Something to be sent. Whoever sends it says with [`Engine::delivered`] what came of it, in any case and by its deadline.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Its number, for [`Engine::delivered`].
    pub id: u64,
    /// For whom.
    pub key: LogKey,
    /// The receiver's way, by its position.
    pub integration: usize,
    /// The alerts, in order. Ends are those of now: [`Alert::is_resolved`] of [`Notification::at`].
    pub alerts: Vec<Alert>,
    /// The labels of the group.
    pub group_labels: Labels,
    /// When it was decided.
    pub at: Timestamp,
    /// When it is too late.
    pub deadline: Timestamp,
}

/// An alert as it is posted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Posted {
    /// What identifies it.
    pub labels: Labels,
    /// What explains it.
    pub annotations: Labels,
    /// Since when; now by default.
    pub starts_at: Option<Timestamp>,
    /// Until when; by default until it has not been sent again for the configuration's `resolve_timeout`.
    pub ends_at: Option<Timestamp>,
    /// Where it comes from.
    pub generator_url: String,
    /// The rule of ours that it comes from.
    pub origin: Option<crate::alert::Origin>,
}

/// What was kept of an engine.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The largest version of a row.
    pub version: i64,
    /// Alerts.
    pub alerts: Vec<Alert>,
    /// Silences.
    pub silences: Vec<Silence>,
    /// The log.
    pub log: Vec<(LogKey, LogEntry)>,
}

impl Engine {
    /// An engine that goes on from what was kept.
    pub fn new(config: Arc<Config>, kept: Kept, now: Timestamp) -> Self {
        let mut silences = Silences::default();
        for silence in kept.silences {
            silences.restore(silence);
        }
        let alerts: HashMap<Fingerprint, Alert> =
            kept.alerts.into_iter().map(|alert| (alert.fingerprint(), alert)).collect();
        let ends = alerts
            .iter()
            .filter(|(_, alert)| alert.announced)
            .map(|(fingerprint, alert)| (alert.ends_at, *fingerprint))
            .collect();
        let mut engine = Self {
            config,
            alerts,
            ends,
            silences,
            inhibitor: Inhibitor::default(),
            groups: Groups::default(),
            log: kept.log.into_iter().collect(),
            in_flight: HashMap::new(),
            in_flight_keys: HashSet::new(),
            next_notification: 1,
            version: kept.version,
            last_tick: now,
            last_sweep: now,
        };
        engine.regroup(now);
        engine
    }

    /// Takes another configuration. Groups that are the same in both keep their timers, and what was told stays told.
    pub fn reload(&mut self, config: Arc<Config>, now: Timestamp) {
        self.config = config;
        self.regroup(now);
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The silences.
    pub fn silences(&self) -> &Silences {
        &self.silences
    }

    /// All alerts, also those that are over.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// One alert.
    pub fn alert(&self, fingerprint: Fingerprint) -> Option<&Alert> {
        self.alerts.get(&fingerprint)
    }

    fn changes(&mut self) -> Changes {
        self.version += 1;
        Changes { version: self.version, ..Changes::default() }
    }

    /// Inhibitions and groups follow from the alerts and the configuration; both are built before anything is decided.
    fn regroup(&mut self, now: Timestamp) {
        let firing = self.alerts.iter().filter(|(_, alert)| !alert.is_resolved(now));
        self.inhibitor = Inhibitor::new(
            &self.config.inhibit_rules,
            firing.map(|(fingerprint, alert)| (*fingerprint, &alert.labels)),
        );
        let old = std::mem::take(&mut self.groups);
        let mut in_order: Vec<(&Timestamp, Fingerprint)> =
            self.alerts.iter().map(|(fingerprint, alert)| (&alert.received_at, *fingerprint)).collect();
        in_order.sort_unstable();
        let in_order: Vec<Fingerprint> = in_order.into_iter().map(|(_, fingerprint)| fingerprint).collect();
        for fingerprint in in_order {
            let Some(alert) = self.alerts.get(&fingerprint) else { continue };
            // An alert that is over matters only to those who were told that it fires.
            if alert.is_resolved(now) && !groups::was_told(&self.config, &self.log, alert) {
                continue;
            }
            self.groups.insert(&self.config, Some(&self.log), fingerprint, alert, now);
        }
        self.groups.keep_timers(old, now);
    }

    /// Takes alerts. Each is taken or refused by itself; those that were taken fire or end at once.
    pub fn put(&mut self, posted: Vec<Posted>, now: Timestamp) -> (Changes, Vec<AlertError>) {
        let mut changes = self.changes();
        let mut refused = Vec::new();
        for one in posted {
            if let Err(error) = self.put_one(one, now, &mut changes) {
                refused.push(error);
            }
        }
        (changes, refused)
    }

    fn put_one(&mut self, posted: Posted, now: Timestamp, changes: &mut Changes) -> Result<(), AlertError> {
        let timeout = posted.ends_at.is_none();
        let mut labels = posted.labels;
        labels.0.retain(|_, value| !value.is_empty());
        let resolve_timeout =
            SignedDuration::try_from(self.config.resolve_timeout).unwrap_or(SignedDuration::from_mins(5));
        let alert = Alert {
            labels,
            annotations: posted.annotations,
            starts_at: posted.starts_at.or(posted.ends_at).unwrap_or(now),
            ends_at: posted.ends_at.unwrap_or_else(|| now.saturating_add(resolve_timeout).unwrap_or(now)),
            updated_at: now,
            received_at: now,
            generator_url: posted.generator_url,
            timeout,
            origin: posted.origin,
            announced: false,
        };
        alert.validate()?;
        let fingerprint = alert.fingerprint();
        let alert = match self.alerts.get(&fingerprint) {
            Some(old) => alert.merged_onto(old, now),
            None if self.alerts.len() >= MOST_ALERTS => return Err(AlertError::TooMany(MOST_ALERTS)),
            None => alert,
        };
        self.store(fingerprint, alert, now, changes);
        let alert = &self.alerts[&fingerprint];
        self.groups.insert(&self.config, None, fingerprint, alert, now);
        Ok(())
    }

    /// Keeps an alert, and tells if it began or ended by that.
    fn store(&mut self, fingerprint: Fingerprint, mut alert: Alert, now: Timestamp, changes: &mut Changes) {
        if let Some(old) = self.alerts.get(&fingerprint) {
            self.ends.remove(&(old.ends_at, fingerprint));
        }
        let fires = !alert.is_resolved(now);
        if fires != alert.announced {
            alert.announced = fires;
            if fires {
                self.inhibitor.insert(fingerprint, &alert.labels);
            } else {
                self.inhibitor.remove(fingerprint, &alert.labels);
            }
            changes.transitions.push(Transition { firing: fires, alert: alert.clone() });
        }
        if fires {
            self.ends.insert((alert.ends_at, fingerprint));
        }
        changes.alerts.insert(fingerprint, Some(alert.clone()));
        self.alerts.insert(fingerprint, alert);
    }

    /// Ends alerts.
    pub fn resolve(&mut self, fingerprints: &[Fingerprint], now: Timestamp) -> Changes {
        let mut changes = self.changes();
        for fingerprint in fingerprints {
            let Some(alert) = self.alerts.get(fingerprint).filter(|alert| !alert.is_resolved(now)) else {
                continue;
            };
            let ended = Alert { ends_at: now, updated_at: now, timeout: false, ..alert.clone() };
            self.store(*fingerprint, ended, now, &mut changes);
        }
        changes
    }

    /// Sets a silence; its id comes with the changes' only active or pending silence, and is returned.
    ///
    /// # Errors
    /// What it lacks.
    pub fn set_silence(
        &mut self,
        silence: Silence,
        new_id: String,
        now: Timestamp,
    ) -> Result<(Changes, String), SilenceError> {
        let changed = self.silences.set(silence, new_id, now)?;
        let id = changed.last().map(|silence| silence.id.clone()).unwrap_or_default();
        let mut changes = self.changes();
        changes.silences = changed.into_iter().map(|silence| (silence.id.clone(), Some(silence))).collect();
        Ok((changes, id))
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// Nobody knows it, or it is over.
    pub fn expire_silence(&mut self, id: &str, now: Timestamp) -> Result<Changes, SilenceError> {
        let expired = self.silences.expire(id, now)?;
        let mut changes = self.changes();
        changes.silences.insert(expired.id.clone(), Some(expired));
        Ok(changes)
    }

    /// When [`Engine::tick`] has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let end = self.ends.first().map(|(at, _)| *at);
        [end, self.groups.next_deadline()].into_iter().flatten().min()
    }

    /// Goes on to `now`: ends alerts whose time is over, and decides about every group that is due.
    pub fn tick(&mut self, now: Timestamp) -> (Changes, Vec<Notification>) {
        let mut changes = self.changes();
        // A clock that was set back would let groups wait for the hour to come again.
        if now < self.last_tick {
            self.groups.clock_went_back(&self.config, now);
        }
        self.last_tick = now;
        while let Some(&(end, fingerprint)) = self.ends.first().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(end, fingerprint));
            if let Some(alert) = self.alerts.get(&fingerprint).cloned() {
                self.store(fingerprint, alert, now, &mut changes);
            }
        }
        let mut notifications = Vec::new();
        for id in self.groups.take_due(now) {
            self.flush(id, now, &mut changes, &mut notifications);
        }
        if now.duration_since(self.last_sweep) > SignedDuration::from_mins(5) {
            self.last_sweep = now;
            self.sweep(now, &mut changes);
        }
        (changes, notifications)
    }

    /// Forgets what is long over.
    fn sweep(&mut self, now: Timestamp, changes: &mut Changes) {
        for id in self.silences.forget_old(now) {
            changes.silences.insert(id, None);
        }
        let in_flight = &self.in_flight_keys;
        let expired: Vec<LogKey> = self
            .log
            .iter()
            .filter(|(key, entry)| entry.expires < now && !in_flight.contains(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in expired {
            self.log.remove(&key);
            changes.log.insert(key, None);
        }
        let mut over: Vec<(Timestamp, Fingerprint)> = self
            .alerts
            .iter()
            .filter(|(fingerprint, alert)| alert.is_resolved(now) && !self.groups.holds(**fingerprint))
            .map(|(fingerprint, alert)| (alert.ends_at, *fingerprint))
            .collect();
        over.sort_unstable();
        let too_many = over.len().saturating_sub(MOST_RESOLVED);
        for (position, (end, fingerprint)) in over.into_iter().enumerate() {
            if position < too_many || now.duration_since(end) > RESOLVED_KEPT {
                self.alerts.remove(&fingerprint);
                changes.alerts.insert(fingerprint, None);
            }
        }
    }
}
