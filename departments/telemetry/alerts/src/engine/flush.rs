//! What is decided about a group that is due.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::groups::{GroupId, later};
use super::{Changes, Engine, LogEntry, LogKey, Notification};
use crate::alert::Alert;
use crate::config::{Integration, Receiver};
use crate::interval::any_contains;
use crate::labels::Fingerprint;
use crate::stamp;

/// The least time that sending may take, however short the group's interval is.
const LEAST_TIME: std::time::Duration = std::time::Duration::from_secs(10);

/// What was decided about a group and a way to its receiver, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    #[serde(with = "stamp")]
    pub at: Timestamp,
    /// The group.
    pub group_key: String,
    /// Its receiver.
    pub receiver: String,
    /// The way, if the decision is about one: `webhook[0]`.
    pub integration: Option<String>,
    /// What.
    pub verdict: Verdict,
    /// The alerts that it is about.
    pub alerts: Vec<Fingerprint>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// It is being sent.
    Sending {
        /// Why.
        reason: Reason,
    },
    /// It was sent.
    Sent,
    /// It could not be sent; it is tried again at the group's next interval.
    Failed {
        /// What went wrong.
        error: String,
    },
    /// All of it was told already.
    AlreadyTold {
        /// When it will be repeated.
        #[serde(with = "stamp")]
        again: Timestamp,
    },
    /// Nothing fires, and nobody was told that something did.
    NothingToTell,
    /// Alerts are over, and the receiver does not want to know.
    EndNotWanted,
    /// The last notification is still on its way.
    StillSending,
    /// A time interval mutes the route now.
    Muted {
        /// Which.
        interval: String,
    },
    /// The route is active at other times only.
    Inactive {
        /// At which.
        intervals: Vec<String>,
    },
    /// Every alert is silenced or inhibited.
    Suppressed,
    /// The receiver has no way: its alerts are kept and shown, not sent.
    NoWay,
}

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Nobody was told of this group yet.
    First,
    /// An alert began.
    NewAlert,
    /// All alerts are over.
    AllResolved,
    /// An alert is over.
    AlertResolved,
    /// It was told long ago.
    Repeat,
}

impl Reason {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::First => "the group's first notification",
            Self::NewAlert => "an alert began",
            Self::AllResolved => "all alerts are over",
            Self::AlertResolved => "an alert is over",
            Self::Repeat => "repeat_interval has passed",
        }
    }
}

/// A notification that is on its way.
#[derive(Debug)]
pub(super) struct InFlight {
    group: GroupId,
    key: LogKey,
    entry: LogEntry,
    alerts: Vec<Fingerprint>,
}

pub(super) fn log_key(group_key: &str, receiver: &Receiver, way: &Integration) -> LogKey {
    LogKey {
        group_key: group_key.to_owned(),
        receiver: receiver.name.clone(),
        integration: format!("{}[{}]", way.kind, way.index),
    }
}

/// Whether there is something to tell.
fn worth_telling(
    entry: Option<&LogEntry>,
    firing: &BTreeSet<Fingerprint>,
    resolved: &BTreeSet<Fingerprint>,
    send_resolved: bool,
    repeat: std::time::Duration,
    now: Timestamp,
) -> Result<Reason, Verdict> {
    let Some(entry) = entry else {
        return if firing.is_empty() { Err(Verdict::NothingToTell) } else { Ok(Reason::First) };
    };
    if !firing.is_subset(&entry.firing) {
        return Ok(Reason::NewAlert);
    }
    // The log is told of the end even where the receiver is not, so that the next beginning is news.
    if firing.is_empty() {
        return if entry.firing.is_empty() { Err(Verdict::NothingToTell) } else { Ok(Reason::AllResolved) };
    }
    if send_resolved && !resolved.is_subset(&entry.resolved) {
        return Ok(Reason::AlertResolved);
    }
    let again = later(entry.at, repeat);
    if again <= now { Ok(Reason::Repeat) } else { Err(Verdict::AlreadyTold { again }) }
}

impl Engine {
    pub(super) fn flush(
        &mut self,
        id: GroupId,
        now: Timestamp,
        changes: &mut Changes,
        notifications: &mut Vec<Notification>,
    ) {
        let Some(group) = self.groups.get(id) else { return };
        let config = self.config.clone();
        let route = &config.routes[group.route];
        let (key, group_labels) = (group.key.clone(), group.labels.clone());
        let mut alerts: Vec<Alert> =
            group.members.iter().filter_map(|fingerprint| self.alerts.get(fingerprint)).cloned().collect();
        alerts.sort_by(|left, right| left.labels.notification_order(&right.labels));
        let over: Vec<(Fingerprint, Timestamp)> = alerts
            .iter()
            .filter(|alert| alert.is_resolved(now))
            .map(|alert| (alert.fingerprint(), alert.updated_at))
            .collect();
        let all: Vec<Fingerprint> = alerts.iter().map(Alert::fingerprint).collect();
        self.groups.set_timer(id, later(now, route.group_interval));
        if let Some(group) = self.groups.get_mut(id) {
            group.has_flushed = true;
            group.told_over = over;
            group.failed = false;
        }
        let mut decisions: Vec<Decision> = Vec::new();
        let decide = |integration: Option<String>, verdict: Verdict, alerts: Vec<Fingerprint>| Decision {
            at: now,
            group_key: key.clone(),
            receiver: route.receiver.clone(),
            integration,
            verdict,
            alerts,
        };

        // In Alertmanager's order: inhibited, then the route's times, then silenced.
        alerts.retain(|alert| self.inhibitor.inhibiting(&alert.labels).is_none());
        let time_verdict = self.muted_now(group_route(&self.groups, id), now);
        alerts.retain(|alert| self.silences.silencing(&alert.labels, now).is_empty());
        let receiver = config.receivers.get(&route.receiver);
        if let Some(verdict) = time_verdict {
            decisions.push(decide(None, verdict, all));
        } else if alerts.is_empty() {
            decisions.push(decide(None, Verdict::Suppressed, all));
        } else if receiver.is_none_or(|receiver| receiver.integrations.is_empty()) {
            decisions.push(decide(None, Verdict::NoWay, all));
        } else if let Some(receiver) = receiver {
            let (resolved, firing): (BTreeSet<Fingerprint>, BTreeSet<Fingerprint>) = {
                let of = |is_over: bool| {
                    let chosen = alerts.iter().filter(|alert| alert.is_resolved(now) == is_over);
                    chosen.map(Alert::fingerprint).collect()
                };
                (of(true), of(false))
            };
            for (position, way) in receiver.integrations.iter().enumerate() {
                let log_key = log_key(&key, receiver, way);
                let way_name = Some(log_key.integration.clone());
                if self.in_flight_keys.contains(&log_key) {
                    decisions.push(decide(way_name, Verdict::StillSending, Vec::new()));
                    if let Some(group) = self.groups.get_mut(id) {
                        group.failed = true;
                    }
                    continue;
                }
                let told = self.log.get(&log_key);
                let reason = match worth_telling(
                    told,
                    &firing,
                    &resolved,
                    way.send_resolved,
                    route.repeat_interval,
                    now,
                ) {
                    Ok(reason) => reason,
                    Err(verdict) => {
                        decisions.push(decide(way_name, verdict, Vec::new()));
                        continue;
                    }
                };
                let expires = later(now, route.repeat_interval.saturating_mul(2));
                let entry = LogEntry { at: now, firing: firing.clone(), resolved: resolved.clone(), expires };
                let sent: Vec<Alert> = alerts
                    .iter()
                    .filter(|alert| way.send_resolved || !alert.is_resolved(now))
                    .cloned()
                    .collect();
                if sent.is_empty() {
                    decisions.push(decide(
                        way_name,
                        Verdict::EndNotWanted,
                        resolved.iter().copied().collect(),
                    ));
                    self.log.insert(log_key.clone(), entry.clone());
                    changes.log.insert(log_key, Some(entry));
                    continue;
                }
                let fingerprints: Vec<Fingerprint> = sent.iter().map(Alert::fingerprint).collect();
                decisions.push(decide(way_name, Verdict::Sending { reason }, fingerprints.clone()));
                let notification = Notification {
                    id: self.next_notification,
                    key: log_key.clone(),
                    integration: position,
                    alerts: sent,
                    group_labels: group_labels.clone(),
                    at: now,
                    deadline: later(now, route.group_interval.max(LEAST_TIME)),
                };
                self.next_notification += 1;
                self.in_flight_keys.insert(log_key.clone());
                let flight = InFlight { group: id, key: log_key, entry, alerts: fingerprints };
                self.in_flight.insert(notification.id, flight);
                if let Some(group) = self.groups.get_mut(id) {
                    group.waiting += 1;
                }
                notifications.push(notification);
            }
        }
        for decision in decisions {
            self.record(id, decision, changes);
        }
        self.settle(id);
    }

    /// Remembers a decision; one that says again what was said last is not kept twice.
    fn record(&mut self, id: GroupId, decision: Decision, changes: &mut Changes) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let last = group.history.iter().rev().find(|before| before.integration == decision.integration);
        let says_the_same =
            last.is_some_and(|before| before.verdict == decision.verdict && before.alerts == decision.alerts);
        if !says_the_same {
            group.remember(decision.clone());
            changes.decisions.push(decision);
        }
    }

    /// Whether a time interval keeps a route quiet.
    pub(super) fn muted_now(&self, route: Option<usize>, now: Timestamp) -> Option<Verdict> {
        let route = &self.config.routes[route?];
        let holds = |name: &String| {
            self.config.intervals.get(name).is_some_and(|intervals| any_contains(intervals, now))
        };
        if !route.active_times.is_empty() && !route.active_times.iter().any(holds) {
            return Some(Verdict::Inactive { intervals: route.active_times.clone() });
        }
        route.mute_times.iter().find(|name| holds(name)).map(|name| Verdict::Muted { interval: name.clone() })
    }

    /// Once all that a flush sent has arrived, the alerts that are over leave the group. If something failed they stay, and
    /// are told at the next interval.
    fn settle(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.waiting > 0 {
            return;
        }
        let over = std::mem::take(&mut group.told_over);
        if !group.failed {
            for (fingerprint, updated_at) in over {
                let unchanged =
                    self.alerts.get(&fingerprint).is_none_or(|alert| alert.updated_at == updated_at);
                if unchanged {
                    self.groups.leave(id, fingerprint);
                }
            }
        }
        if self.groups.get(id).is_some_and(|group| group.members.is_empty()) {
            self.groups.remove(id);
        }
    }

    /// Says what came of a notification.
    pub fn delivered(&mut self, id: u64, outcome: Result<(), String>, now: Timestamp) -> Changes {
        let mut changes = self.changes();
        let Some(flight) = self.in_flight.remove(&id) else { return changes };
        self.in_flight_keys.remove(&flight.key);
        let verdict = match outcome {
            Ok(()) => {
                self.log.insert(flight.key.clone(), flight.entry.clone());
                changes.log.insert(flight.key.clone(), Some(flight.entry));
                Verdict::Sent
            }
            Err(error) => Verdict::Failed { error },
        };
        let failed = matches!(verdict, Verdict::Failed { .. });
        let decision = Decision {
            at: now,
            group_key: flight.key.group_key,
            receiver: flight.key.receiver,
            integration: Some(flight.key.integration),
            verdict,
            alerts: flight.alerts,
        };
        // After a reload the group may be another, or gone; what was told stays told.
        match self.groups.get_mut(flight.group).filter(|group| group.key == decision.group_key) {
            Some(group) => {
                group.waiting = group.waiting.saturating_sub(1);
                group.failed |= failed;
                self.record(flight.group, decision, &mut changes);
                self.settle(flight.group);
            }
            None => changes.decisions.push(decision),
        }
        changes
    }
}

fn group_route(groups: &super::groups::Groups, id: GroupId) -> Option<usize> {
    groups.get(id).map(|group| group.route)
}
